"""The commands of `./auspex`: standard library only, one idea a file.

Reading order: `__main__` (which command), `layout` (where things are), `console` (how steps are told),
`process` (what a child process is), `servers/` (Postgres, RabbitMQ, Redis, nginx), `services` (the five of ours),
`supervisor` (keeps all of them running), `commands/` (one command a file).
"""
