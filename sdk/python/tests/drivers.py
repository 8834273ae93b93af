"""Drives either client by the names of its calls, such as "predictions" or "jobs.get"."""

import asyncio
from itertools import islice
from operator import attrgetter

from auspex import AsyncClient, Client


class Sync:
    """Drives the synchronous client."""

    kind = Client

    def __init__(self, url, **options):
        self.client = Client(url, **options)

    def call(self, name, *arguments, **options):
        return attrgetter(name)(self.client)(*arguments, **options)

    def take(self, count, name, *arguments, **options):
        return list(islice(attrgetter(name)(self.client)(*arguments, **options), count))

    @staticmethod
    def login(url, *arguments):
        driver = Sync.__new__(Sync)
        driver.client = Client.login(url, *arguments)
        return driver

    def close(self):
        self.client.close()


class Async:
    """Drives the asynchronous client on a loop of its own."""

    kind = AsyncClient

    def __init__(self, url, **options):
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(url, **options)

    def call(self, name, *arguments, **options):
        return self.loop.run_until_complete(attrgetter(name)(self.client)(*arguments, **options))

    def take(self, count, name, *arguments, **options):
        async def collect():
            found = []
            rows = attrgetter(name)(self.client)(*arguments, **options)
            async for item in rows:
                found.append(item)
                if len(found) == count:
                    break
            await rows.aclose()
            return found

        return self.loop.run_until_complete(collect())

    @staticmethod
    def login(url, *arguments):
        driver = Async.__new__(Async)
        driver.loop = asyncio.new_event_loop()
        driver.client = driver.loop.run_until_complete(AsyncClient.login(url, *arguments))
        return driver

    def close(self):
        self.loop.run_until_complete(self.client.close())
        self.loop.close()
