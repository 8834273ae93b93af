"""The main job of Auspex, done step by step through the public API: told as a story by `up`, asserted by the end-to-end tests.

Reading order: `api` (one request), `accounts` (a provider and a subscriber), `market` (real bars and their replay),
`signals` (code that is uploaded and published), `main_job` (the steps, each returning what was seen), `story` (the steps told).
"""
