"""Each rule about form finds a planted break, and leaves good code alone."""

import json
import unittest

from auspex_lint import banned_tasks, c_modules, python_scripts, routes, sql_places
from support import folder_for


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = folder_for(self)

    def plant(self, path: str, text: str):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


class BannedTasks(Planted):
    def test_finds_unstructured_tasks(self):
        for number, line in enumerate(["Task { await x() }", "Task.detached { }", "Task(priority: .high) { }", "let t = Task<Void, Never> { }"]):
            self.plant(f"services/auth/HTTP/F{number}.swift", line + "\n")
        self.assertEqual(len(banned_tasks.check(self.root)), 4)

    def test_leaves_alone(self):
        self.plant("services/auth/A.swift", "Task(on: loop) { }\n// Task { } is banned\nawait withTaskGroup { }\nfunc ask() -> Task<Int, Never> {\n")
        self.plant("shared/ServiceRuntime/TaskOnLoop.swift", "Task(executorPreference: loop) { }\n")
        self.assertEqual(banned_tasks.check(self.root), [])


class CModules(Planted):
    def setUp(self):
        super().setUp()
        self.plant("shared/C/CPostgres/module.modulemap", "")
        self.plant("shared/Postgres/Wire.swift", "internal import CPostgres\n")

    def test_one_owner_is_fine(self):
        self.plant("shared/Postgres/Pool.swift", "import CPostgres\n")
        self.assertEqual(c_modules.check(self.root), [])

    def test_a_second_module_is_found(self):
        self.plant("services/auth/Store/Users.swift", "import CPostgres\n")
        self.assertEqual({str(finding.path) for finding in c_modules.check(self.root)}, {"services/auth/Store/Users.swift", "shared/Postgres/Wire.swift"})

    def test_a_public_import_is_found(self):
        self.plant("shared/Postgres/Open.swift", "public import CPostgres\n")
        self.assertEqual(len(c_modules.check(self.root)), 1)


class SQLPlaces(Planted):
    def test_finds_sql_in_http(self):
        self.plant("services/auth/HTTP/A.swift", 'let a: SQL = "SELECT id FROM users"\nlet b: SQL = "DELETE FROM users"\n')
        self.plant("services/auth/HTTP/B.swift", 'let a: SQL = """\n    INSERT INTO users (id) VALUES (\\(id))\n    """\n')
        self.assertEqual(len(sql_places.check(self.root)), 3)

    def test_leaves_stores_and_words_alone(self):
        self.plant("services/auth/Store/A.swift", 'let a: SQL = "SELECT id FROM users"\n')
        self.plant("services/auth/HTTP/C.swift", 'let detail = "Select a plan from the list; update your settings"\n')
        self.assertEqual(sql_places.check(self.root), [])


class Routes(Planted):
    def setUp(self):
        super().setUp()
        self.table = {service: paths.split() for service, paths in routes.OWNERS.items()}
        for service, paths in self.table.items():
            self.describe(service, paths[0])
        self.plant("services/gateway/routes.json", json.dumps(self.table))

    def describe(self, service: str, *paths: str):
        self.plant(f"services/{service}/openapi.yaml", json.dumps({"openapi": "3.0.3", "paths": {path: {"get": {}} for path in paths}}))

    def test_agreement(self):
        self.assertEqual(routes.check(self.root), [])

    def test_a_path_of_another_service(self):
        self.describe("auth", "/api/login", "/api/bars/{symbol}")
        self.assertIn("marketdata", routes.check(self.root)[0].text)

    def test_an_internal_path(self):
        self.describe("auth", "/api/login", "/internal/v1/keys/verify")
        self.assertEqual(len(routes.check(self.root)), 1)

    def test_a_path_that_the_gateway_lost(self):
        self.table["signals"].remove("/api/feed")
        self.plant("services/gateway/routes.json", json.dumps(self.table))
        self.assertEqual(len(routes.check(self.root)), 1)


class PythonScripts(Planted):
    def test_finds_what_does_not_compile_and_what_says_nothing(self):
        self.plant("scripts/a.py", "def broken(:\n")
        self.plant("scripts/b.py", "x = 1\n")
        self.plant("scripts/c.py", '"""Says what it is."""\n')
        self.assertEqual(len(python_scripts.check(self.root)), 2)


if __name__ == "__main__":
    unittest.main()
