#!/usr/bin/python3
"""sqlite3: builds a database and asks it questions."""
import unittest

import harness

SQL = """
CREATE TABLE sale(id INTEGER PRIMARY KEY, shop TEXT, amount INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  INSERT INTO sale SELECT i, 'shop ' || (i % 17), i * 7 % 1000 FROM n;
CREATE INDEX by_shop ON sale(shop);
SELECT shop, count(*), sum(amount) FROM sale GROUP BY shop ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM sale a JOIN sale b ON a.id = b.amount;
"""


class Sqlite(unittest.TestCase):
    def test_build_and_query(self):
        with harness.Scratch() as work:
            alone = harness.bare(["sqlite3", work.path("bare.db")], stdin=SQL)
            self.assertEqual(alone.status, 0, alone)
            for name, run in (("run", harness.run), ("preload", harness.preload)):
                with self.subTest(way=name):
                    result = run(["sqlite3", work.path(f"{name}.db")], stdin=SQL)
                    self.assertEqual((result.status, result.stdout), (0, alone.stdout), result)
                    totals = result.report["totals"]
                    # It opened the database (and its journal) and closed them at the end; nothing is left over.
                    self.assertEqual(totals["fd"]["live"], 0, result)
                    self.assertGreaterEqual(totals["fd"]["total"], 2)
                    self.assertGreater(totals["heap"]["total"], 1000)
                    self.assertTrue(result.report["complete"], result.report["notes"])
            with open(work.path("bare.db"), "rb") as one, open(work.path("run.db"), "rb") as other:
                self.assertEqual(len(one.read()), len(other.read()))

    def test_database_that_is_open_can_be_seen(self):
        """A snapshot in the middle of a session names the database file and the function of sqlite that opened it."""
        with harness.Scratch() as work, harness.started(["sqlite3", work.path("open.db")], scratch=work) as process:
            process.stdin.write(b"CREATE TABLE t(x);\nINSERT INTO t VALUES (1);\nSELECT 'ready', x FROM t;\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"ready|1\n")
            target = work.path("snapshot.json")
            shown = harness.unfreed("snapshot", "--output", target, str(harness.child_of(process)),
                                    env={"UNFREED_LEDGER_DIR": work.ledgers})
            self.assertEqual(shown.status, 0, shown)
            sites = harness.live_sites(harness.read_report(target), "fd")
            targets = [item["target"] for site in sites for item in site["objects"]]
            self.assertIn(work.path("open.db"), targets)


if __name__ == "__main__":
    harness.main()
