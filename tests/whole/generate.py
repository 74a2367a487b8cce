"""Statements at random, of every kind that SQLite has, for databases whose copies must be equal.

What is made need not be accepted: a statement that SQLite refuses must leave no trace, on any node.
"""

from __future__ import annotations

from tests.whole.schemas import CONFLICTS, SchemaGenerator, Table


class Generator(SchemaGenerator):
    """Makes SQL for one database: a schema first, then statements for it."""

    # -- statements -------------------------------------------------------------------------------------------

    def change(self) -> str:
        """A statement that changes rows."""
        return self.chance.choice(
            [
                self._insert,
                self._insert,
                self._insert,
                self._insert_selected,
                self._upsert,
                self._update,
                self._update,
                self._update_from,
                self._delete,
                self._through_view,
                self._in_virtual,
                self._with,
                self._renumber,
                self._many,
            ]
        )()

    def _insert(self) -> str:
        table = self.table()
        columns = table.columns if self.chance.random() < 0.7 else table.columns[: self.chance.randint(1, 3)]
        names = (
            [*columns, "rowid"] if table.rowid and "id" not in columns and self.chance.random() < 0.1 else columns
        )
        rows = ", ".join(f"({', '.join(map(self.value, names))})" for _ in range(self.chance.choice([1, 1, 2, 4])))
        verb = "REPLACE" if self.chance.random() < 0.1 else f"INSERT{self.chance.choice(CONFLICTS)}"
        if self.chance.random() < 0.07:
            return f"{verb} INTO {table.name} DEFAULT VALUES"
        return f"{verb} INTO {table.name} ({', '.join(names)}) VALUES {rows}{self.maybe(' RETURNING *', 0.1)}"

    def _insert_selected(self) -> str:
        table, other = self.table(), self.table()
        first, last = table.columns[0], table.columns[-1]
        into = f"INSERT OR IGNORE INTO {table.name}"
        if first == last:
            return f"{into} ({first}) SELECT {other.columns[-1]} FROM {other.name} LIMIT 3"
        return f"{into} ({first}, {last}) SELECT {self.value()}, {other.columns[-1]} FROM {other.name} LIMIT 3"

    def _upsert(self) -> str:
        table = self.table()
        values = ", ".join(map(self.value, table.columns))
        last = table.columns[-1]
        action = self.some(
            "NOTHING", f"UPDATE SET {last} = {self.value()}", f"UPDATE SET {last} = excluded.{last}"
        )
        target = f" ({table.keyed})" if table.keyed in ("id", "x, y") and self.chance.random() < 0.7 else ""
        names = ", ".join(table.columns)
        return f"INSERT INTO {table.name} ({names}) VALUES ({values}) ON CONFLICT{target} DO {action}"

    def _where(self, table: Table) -> str:
        column = self.chance.choice(table.columns)
        return self.some(
            "",
            f" WHERE {column} = {self.value()}",
            f" WHERE {column} IS NOT {self.value()}",
            f" WHERE {column} > {self.value()}",
            f" WHERE rowid IN (SELECT rowid FROM {table.name} LIMIT 2)",
            " WHERE random() % 2",
            f" WHERE {column} IN (SELECT {table.columns[0]} FROM {table.name} ORDER BY random() LIMIT 1)",
        )

    def _update(self) -> str:
        table = self.table()
        column = self.chance.choice(table.columns)
        new = self.some(self.value(), f"{column} || 'x'", f"{column} + 1", f"{column} + 0.0", f"-{column}", column)
        more = ""
        if self.chance.random() < 0.3:
            more = f", {table.columns[-1]} = {self.some(self.value(), column)}"
        return (
            f"UPDATE{self.chance.choice(CONFLICTS)} {table.name} SET {column} = {new}{more}{self._where(table)}"
            f"{self.maybe(' RETURNING 1', 0.1)}"
        )

    def _update_from(self) -> str:
        table, other = self.table(), self.table()
        return (
            f"UPDATE OR IGNORE {table.name} SET {table.columns[-1]} = o.{other.columns[-1]} "
            f"FROM {other.name} AS o WHERE o.{other.columns[0]} = {table.name}.{table.columns[0]}"
        )

    def _delete(self) -> str:
        table = self.table()
        return f"DELETE FROM {table.name}{self._where(table)}"

    def _through_view(self) -> str:
        if not self.views:
            return self._insert()
        view = self.chance.choice(self.views)
        return self.some(f"INSERT INTO {view} VALUES ({self.value()}), (8)", f"DELETE FROM {view}")

    def _in_virtual(self) -> str:
        if self.full_text and self.chance.random() < 0.6:
            name = self.chance.choice(self.full_text)
            return self.some(
                f"INSERT INTO {name} (body, title) VALUES ('one two', 'three'), ({self.value()}, 'x')",
                f"UPDATE {name} SET body = 'four ' || hex(randomblob(2)) WHERE rowid = 1",
                f"DELETE FROM {name} WHERE rowid = 1",
                f"INSERT INTO {name} ({name}) VALUES ('optimize')",
            )
        if self.boxes:
            name = self.chance.choice(self.boxes)
            return self.some(
                f"INSERT OR REPLACE INTO {name} VALUES (abs(random() % 9), 1.5, 2.5)",
                f"UPDATE {name} SET high = high + 1",
                f"DELETE FROM {name} WHERE id < 4",
            )
        return self._update()

    def _with(self) -> str:
        table = self.table()
        return (
            f"WITH n(i) AS (VALUES (1), (2), (3)) INSERT{self.some(' OR IGNORE', ' OR REPLACE', '')} "
            f"INTO {table.name} ({table.columns[0]}) SELECT i FROM n ORDER BY random()"
        )

    def _renumber(self) -> str:
        table = self.table()
        number = self.some("rowid + 1", "rowid - 1", "rowid + 100", "-rowid")
        return f"UPDATE{self.chance.choice(CONFLICTS)} {table.name} SET rowid = {number}{self._where(table)}"

    def _many(self) -> str:
        """Rows enough that a DELETE of all of them is logged as one."""
        table = self.table()
        rows = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)"
        return f"{rows} INSERT OR IGNORE INTO {table.name} ({table.columns[-1]}) SELECT random() FROM n"

    def alter(self) -> str:
        """A statement that changes the schema, or what belongs to the database as a whole."""
        table = self.table()
        number = next(self.numbers) + 1
        choice = self.chance.randrange(15)
        if choice == 0:
            table.columns.append(f"n{number}")
            kind = self.some(
                "", " DEFAULT 5", " DEFAULT 'x'", f" CHECK (n{number} IS NOT 3)", " NOT NULL DEFAULT 'y'"
            )
            return f"ALTER TABLE {table.name} ADD COLUMN n{number} {'ANY' if table.strict else ''}{kind}"
        if choice == 1:
            old, table.name = table.name, f"renamed{number}"
            return f"ALTER TABLE {old} RENAME TO {table.name}"
        if choice == 2 and len(table.columns) > 1:
            old, table.columns[-1] = table.columns[-1], f"c{number}"
            table.keyed = table.keyed.replace(old, f"c{number}") if old == table.keyed else table.keyed
            return f"ALTER TABLE {table.name} RENAME COLUMN {old} TO c{number}"
        if choice == 3 and len(table.columns) > 2:
            return f"ALTER TABLE {table.name} DROP COLUMN {table.columns.pop()}"
        if choice == 4:
            self.tables.append(Table(f"made{number}", ["v", "w"], "v", rowid=True))
            return f"CREATE TABLE made{number} AS SELECT {table.columns[0]} AS v, random() AS w FROM {table.name}"
        if choice == 5 and len(self.tables) > 2:
            self.tables.remove(table)
            return f"DROP TABLE {table.name}"
        if choice < 9:
            return self.chance.choice([self.create_index, self.create_trigger, self.create_table])()
        return self.some(
            "ANALYZE",
            "REINDEX",
            f"PRAGMA user_version = {number}",
            "UPDATE sqlite_sequence SET seq = seq + 10",
            "DELETE FROM sqlite_sequence",
            f"PRAGMA recursive_triggers = {self.some('ON', 'OFF')}",
            f"DROP TRIGGER IF EXISTS trigger{self.chance.randrange(number)}",
            f"DROP INDEX IF EXISTS index{self.chance.randrange(number)}",
            f"DROP TABLE IF EXISTS nothing{number}",
        )

    def transaction(self) -> tuple[str, ...]:
        """Statements with savepoints among them, some of which are released or rolled back to."""
        found = [self.change()]
        names: list[str] = []
        for _ in range(self.chance.randint(1, 6)):
            kind = self.chance.random()
            if kind < 0.2:
                names.append(self.some("s", "S", "'s'", "other"))
                found.append(f"SAVEPOINT {names[-1]}")
            elif kind < 0.35 and names:
                name = self.chance.choice(names)
                if kind < 0.3:
                    found.append(f"ROLLBACK TO {name}")
                else:
                    found.append(f"RELEASE {name}")
                    del names[names.index(name) :]
            else:
                found.append(self.change())
        return tuple(found)
