"""The one-shot: makes the database that the worker uses, and ends."""

import pathlib
import sqlite3

DATABASE = pathlib.Path("data/words.sqlite")
WORDS = ["alder", "birch", "cedar", "elm", "hazel", "larch", "maple", "rowan"]

DATABASE.parent.mkdir(exist_ok=True)
with sqlite3.connect(DATABASE) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY)")
    connection.executemany("INSERT OR IGNORE INTO words VALUES (?)", [(word,) for word in WORDS])
connection.close()
print(f"{DATABASE}: {len(WORDS)} words", flush=True)
