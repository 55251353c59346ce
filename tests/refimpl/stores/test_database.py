"""metadata/db.go: one SQLite file, and what is said of one that is no good."""

import sqlite3
from datetime import UTC, datetime

import pytest

from refimpl.errdefs import (
    ContainerdError,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrUnknown,
    message,
)
from refimpl.stores import database
from refimpl.stores.database import Database, require_namespace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metadata.db"


@pytest.fixture
def opened(path):
    opened = Database.open(path)
    yield opened
    opened.close()


def test_open_again_keeps_what_was_written(path):
    first = Database.open(path)
    with first.update("ns"):
        pass
    first.close()
    first.close()
    second = Database.open(path)
    with second.view() as tx:
        assert tx.execute("SELECT name FROM namespaces").fetchall() == [("ns",)]
    second.close()
    assert [p.name for p in path.parent.iterdir()] == ["metadata.db"]


def test_the_log_is_written_ahead_and_keys_are_checked(opened):
    with opened.view() as tx:
        assert tx.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert tx.execute("PRAGMA user_version").fetchone() == (2,)
    with pytest.raises(ErrUnknown, match="FOREIGN KEY"), opened.update() as tx:
        tx.execute("INSERT INTO leases VALUES ('no', 'l', '{}', 0)")


def test_an_error_takes_the_transaction_back(opened):
    with pytest.raises(KeyError), opened.update("ns"):
        raise KeyError
    with opened.view() as tx:
        assert tx.execute("SELECT count(*) FROM namespaces").fetchone() == (0,)


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_durable_transactions_wait_for_the_disk(opened, durable, level):
    with opened.update("ns", durable=durable) as tx:
        assert tx.execute("PRAGMA synchronous").fetchone() == (level,)
    with opened.view() as tx:
        assert tx.execute("PRAGMA synchronous").fetchone() == (1,)


def test_the_rest_of_a_crash_is_no_obstacle(path):
    """Killed while creating, or a log without its database."""
    path.write_bytes(b"")
    for name in ("metadata.db.new", "metadata.db.new-wal", "metadata.db-wal"):
        path.with_name(name).write_bytes(b"rest" * 1000)
    opened = Database.open(path)
    with opened.update("ns"):
        pass
    opened.close()


def test_a_file_that_is_no_database(path):
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ErrFailedPrecondition, match="damaged or no database"):
        Database.open(path)
    assert path.read_bytes() == b"no database" * 1000


def test_the_database_of_another_program(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(ErrFailedPrecondition, match="of another program"):
        Database.open(path)


def of_version_1(path):
    """Make a database as it was before there were snapshots, with something in it."""
    Database.open(path).close()
    connection = sqlite3.connect(path)
    connection.executescript(
        "DROP TABLE native_snapshots; DROP TABLE snapshot_sequences;"
        "INSERT INTO namespaces VALUES ('kept'); PRAGMA user_version=1;"
    )
    connection.close()


def test_a_schema_of_version_1_is_brought_up_to_date(path):
    of_version_1(path)
    opened = Database.open(path)
    with opened.view() as tx:
        assert tx.execute("PRAGMA user_version").fetchone() == (2,)
        assert tx.execute("SELECT * FROM namespaces").fetchall() == [("kept",)]
        assert tx.execute("SELECT * FROM native_snapshots").fetchall() == []
        assert tx.execute("SELECT * FROM snapshot_sequences").fetchall() == []
    opened.close()


def test_a_schema_that_cannot_be_brought_up_to_date_stays_as_it_is(path):
    of_version_1(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE native_snapshots (theirs)")
    connection.close()
    with pytest.raises(ErrUnknown, match="already exists"):
        Database.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "snapshot_sequences" not in names
    connection.close()


def test_a_schema_from_the_future(path):
    Database.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    with pytest.raises(ErrFailedPrecondition, match="schema version 7, this program"):
        Database.open(path)


def test_a_damaged_database(path):
    Database.open(path).close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8 * 4096)
    opened = Database.open(path)
    with (
        pytest.raises(ErrFailedPrecondition, match="damaged or no database"),
        opened.view() as tx,
    ):
        tx.execute("SELECT * FROM images").fetchall()
    opened.close()


def test_busy_for_too_long(path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.0)
    first, second = Database.open(path), Database.open(path)
    with first.update(), pytest.raises(ContainerdError) as caught, second.update():
        pass
    assert "kept busy by another process" in message(caught.value)
    first.close()
    second.close()


@pytest.mark.parametrize("name", ["default", "k8s.io", "a", "a-b_c.d", "x" * 76])
def test_namespaces(name):
    assert require_namespace(name) == name


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("", ErrFailedPrecondition, "namespace is required: failed precondition"),
        (
            "x" * 77,
            ErrInvalidArgument,
            f'namespace validation: identifier "{"x" * 77}" greater than maximum '
            "length (76 characters): invalid argument",
        ),
        *(
            (
                name,
                ErrInvalidArgument,
                f'namespace validation: identifier "{name}" must match '
                '"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$": invalid argument',
            )
            for name in ("../x", "a/b", "-a", "a..b", "a.", "ä")
        ),
    ],
)
def test_what_is_no_namespace(name, kind, text):
    """namespaces/context.go:60, identifiers/validate.go."""
    with pytest.raises(kind) as caught:
        require_namespace(name)
    assert message(caught.value) == text


def test_maps_and_times():
    text = database.encode_map({"b": "2", "a": "\ud800", "gone": ""})
    assert database.decode_map(text) == {"a": "\ud800", "b": "2"}
    moment = datetime(2021, 11, 24, 3, 42, 0, 123456, tzinfo=UTC)
    assert database.decode_time(database.encode_time(moment)) == moment


def test_a_value_needs_a_key():
    assert database.encode_map({"": ""}) == "{}"
    with pytest.raises(ErrUnknown) as caught:
        database.encode_map({"": "v"})
    assert str(caught.value) == 'failed to set label ""="v": key required: unknown'
