"""The content store of a client, seen from the inside: ingests, blobs and labels.

Everything else rests on it: what has a digest there is what the digest says, what was
half fetched goes on, and two pulls of one image do not tread on each other. A pull
shows little of that; here the store is written to as a pull writes to it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.inside import must_raise

if TYPE_CHECKING:
    from conformance.bench import Bench

TWIN: Final = "content-store.blob-reads-back-as-it-was-written"
BEGIN: Final = b"the first part of a layer, "
REST: Final = b"and the rest of it"
DATA: Final = BEGIN + REST


def digest_of(data: bytes) -> str:
    """Return the digest that the suite itself computes."""
    return f"sha256:{sha256(data).hexdigest()}"


DIGEST: Final = digest_of(DATA)
OTHER: Final = digest_of(b"something else")


@case(
    clause="containerd v1.5.18 content/local/writer.go:76, metadata/content.go:602",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_blob_reads_back_as_it_was_written(bench: Bench) -> None:
    """What is written in parts and committed is there, under its digest and whole.

    The least that can be asked, and the twin of the cases in which a commit must
    fail: only a store that keeps what is right says anything by refusing.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer", size=len(DATA), digest=DIGEST)
    writer.write(BEGIN)
    writer.write(REST)
    writer.commit(len(DATA), DIGEST)
    info = store.info(DIGEST)
    assert (info.digest, info.size) == (DIGEST, len(DATA))
    assert store.read(DIGEST) == DATA
    assert not store.list_statuses(), "a committed ingest is still there"


@case(
    clause="containerd v1.5.18 content/local/readerat.go:58",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_blob_is_read_from_any_offset(bench: Bench) -> None:
    """A reader gives the bytes from wherever it is asked, and fewer at the end.

    Several readers share a blob: where one reads is nothing to the other.
    """
    store = bench.inside.content_store()
    digest = store.add("layer", DATA)
    with store.reader_at(digest) as one, store.reader_at(digest) as other:
        assert one.size == other.size == len(DATA)
        assert one.read_at(len(BEGIN), len(REST)) == REST
        assert other.read_at(0, len(BEGIN)) == BEGIN
        assert one.read_at(len(DATA) - 3, 100) == DATA[-3:]
        assert one.read_at(len(DATA), 1) == b""


@case(
    clause="containerd v1.5.18 content/local/writer.go:113",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_commit_with_another_digest_keeps_no_blob(bench: Bench) -> None:
    """Bytes that are not what was expected become no blob, under neither digest.

    Not under the one that was expected, which they lack; and not under their own,
    for nobody has asked for these bytes.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer")
    writer.write(DATA)
    with must_raise("ErrFailedPrecondition"):
        writer.commit(len(DATA), OTHER)
    assert not store.walk(), "a blob was kept"
    for digest in (OTHER, DIGEST):
        with must_raise("ErrNotFound"):
            store.reader_at(digest)


@case(
    clause="containerd v1.5.18 metadata/content.go:637, content/local/writer.go:108",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_commit_with_another_size_keeps_no_blob(bench: Bench) -> None:
    """A size that differs fails the commit, also where nobody knows the digest.

    An old schema1 manifest states no sizes, a careless caller no digest: whatever
    is known is checked.
    """
    store = bench.inside.content_store()
    for ref, size in (("short", len(DATA) + 1), ("long", len(DATA) - 1)):
        writer = store.writer(ref)
        writer.write(DATA)
        with must_raise("ErrFailedPrecondition"):
            writer.commit(size)
    assert not store.walk(), "a blob was kept"


@case(
    clause="containerd v1.5.18 metadata/content.go:577: the transaction is rolled back",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_ingest_of_a_failed_commit_stays_until_aborted(bench: Bench) -> None:
    """A commit that fails closes its writer, and leaves what was written.

    Whoever failed may look at it, or abort it; the collector takes it in the end.
    The ref is free at once: a lock that stayed would block every later pull.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer")
    writer.write(DATA)
    with must_raise("ErrFailedPrecondition"):
        writer.commit(len(DATA), OTHER)
    assert store.status("layer").offset == len(DATA)
    store.writer("layer").close()
    store.abort("layer")
    assert not store.list_statuses()


@case(
    clause="containerd v1.5.18 content/local/writer.go:91, :184",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_closed_writer_commits_nothing(bench: Bench) -> None:
    """A writer that is closed is done with; closing it again is no error.

    Another one may hold the ref by now: a commit of the first would publish what
    the second is still writing.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer")
    writer.write(DATA)
    writer.close()
    writer.close()
    with must_raise("ErrFailedPrecondition"):
        writer.commit(len(DATA), DIGEST)
    assert not store.walk(), "a blob was kept"


@case(
    clause="containerd v1.5.18 metadata/content.go:650, :587",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_second_commit_of_a_blob_says_that_it_exists(bench: Bench) -> None:
    """Two writers may write the same blob: the first commits, the second is told.

    Two images that share a layer are pulled at once, under refs of their own. That
    the blob exists is good news, and callers take it as such; its own ingest is
    gone, and the blob is still whole.
    """
    store = bench.inside.content_store()
    first, second = store.writer("one pull"), store.writer("another pull")
    for part in (BEGIN, REST):
        first.write(part)
        second.write(part)
    first.commit(len(DATA), DIGEST)
    with must_raise("ErrAlreadyExists"):
        second.commit(len(DATA), DIGEST)
    assert store.read(DIGEST) == DATA
    assert not store.list_statuses(), "the second ingest is still there"


@case(
    clause="containerd v1.5.18 metadata/content.go:469",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_no_writer_is_opened_for_a_blob_that_exists(bench: Bench) -> None:
    """Who says which digest he wants to write is told at once that it is there.

    This is what spares a second download: the answer comes before anything is
    asked of a registry. Another digest under the same ref is another matter.
    """
    store = bench.inside.content_store()
    store.add("first", DATA)
    with must_raise("ErrAlreadyExists"):
        store.writer("second", size=len(DATA), digest=DIGEST)
    assert not store.list_statuses(), "an ingest was begun"
    store.writer("second", digest=OTHER).close()


@case(
    clause="containerd v1.5.18 content/local/store.go:467, content/local/locks.go:37",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_second_writer_of_a_ref_is_refused(bench: Bench) -> None:
    """A ref has one writer at a time; the next one is told to come back later.

    Two that append to one file make rubbish of it. containerd tries ten times, for
    half a second at most, before it says so; another ref is not held up.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer")
    writer.write(BEGIN)
    store.writer("another layer").close()
    with must_raise("ErrUnavailable"):
        store.writer("layer")
    writer.write(REST)
    writer.commit(len(DATA), DIGEST)
    store.writer("layer").close()


@case(
    clause="containerd v1.5.18 content/local/store.go:464",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_writer_needs_a_ref(bench: Bench) -> None:
    """An ingest without a name could not be found again, and is refused.

    Taken as a name, the empty one would be shared by all who forgot it.
    """
    store = bench.inside.content_store()
    with must_raise("ErrInvalidArgument"):
        store.writer("")
    assert not store.list_statuses()


@case(
    clause="containerd v1.5.18 content/local/store.go:494, writer.go:184",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_closed_ingest_goes_on_where_it_was_left(bench: Bench) -> None:
    """A new writer of a ref stands where the last one stopped, also after a restart.

    What is there has been hashed again, so that the digest covers all of it. This
    is what resuming a download rests on: the next bytes are asked for from here.
    """
    before = bench.inside.content_store()
    writer = before.writer("layer", size=len(DATA))
    writer.write(BEGIN)
    writer.close()
    before.close()
    store = bench.inside.content_store()
    writer = store.writer("layer", size=len(DATA))
    assert writer.status().offset == len(BEGIN)
    assert writer.digest() == digest_of(BEGIN)
    writer.write(REST)
    writer.commit(len(DATA), DIGEST)
    assert store.read(DIGEST) == DATA


@case(
    clause="containerd v1.5.18 content/local/store.go:507, which keeps the old bytes "
    "behind the new ones: a defect (refimpl/README.md, D12)",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin="content-store.closed-ingest-goes-on-where-it-was-left",
)
def test_ingest_of_another_total_begins_again(bench: Bench) -> None:
    """Who comes with another size than the ingest was begun with gets an empty one.

    The bytes that are there belong to something else. None of them may be left
    behind what is written now, or no commit of this ref ever succeeds.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer", size=len(DATA) + 1)
    writer.write(DATA)
    writer.close()
    writer = store.writer("layer", size=len(BEGIN))
    assert writer.status().offset == 0
    writer.write(BEGIN)
    writer.commit(len(BEGIN), digest_of(BEGIN))
    assert store.read(digest_of(BEGIN)) == BEGIN


@case(
    clause="containerd v1.5.18 content/local/writer.go:197",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_truncated_writer_begins_again(bench: Bench) -> None:
    """After Truncate(0) nothing of what was written is left, nor in the digest.

    A registry that does not know ranges sends a layer from its beginning: the
    ingest begins with it.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer")
    writer.write(b"what a registry had sent before it broke off, longer than the layer")
    writer.truncate()
    assert writer.status().offset == 0
    writer.write(DATA)
    assert writer.digest() == DIGEST
    writer.commit(len(DATA), DIGEST)
    assert store.read(DIGEST) == DATA


@case(
    clause="containerd v1.5.18 content/local/store.go:376, :565, content/content.go:62",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_status_tells_how_far_an_ingest_has_come(bench: Bench) -> None:
    """Ref, offset, total and times: of a writer, and of what it has left behind.

    A progress bar is made of them. The time at which an ingest was begun stays
    when it goes on; a filter finds one by its ref.
    """
    store = bench.inside.content_store()
    writer = store.writer("layer", size=len(DATA))
    writer.write(BEGIN)
    begun = writer.status()
    assert (begun.ref, begun.offset, begun.total) == ("layer", len(BEGIN), len(DATA))
    assert begun.started_at <= begun.updated_at <= datetime.now(UTC)
    writer.close()
    store.writer("another layer").close()
    left = store.status("layer")
    assert (left.ref, left.offset, left.total) == ("layer", len(BEGIN), len(DATA))
    assert [one.ref for one in store.list_statuses("ref==layer")] == ["layer"]
    assert len(store.list_statuses()) == 2
    again = store.writer("layer", size=len(DATA))
    assert again.status().started_at == begun.started_at
    again.close()


@case(
    clause="containerd v1.5.18 metadata/content.go:319, content/local/store.go:614",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_aborted_ingest_is_gone(bench: Bench) -> None:
    """Abort removes an ingest with its bytes; aborting nothing is an error.

    Its ref is as good as new. Other ingests are not touched.
    """
    store = bench.inside.content_store()
    for ref in ("layer", "another layer"):
        writer = store.writer(ref)
        writer.write(BEGIN)
        writer.close()
    store.abort("layer")
    for ask in (store.status, store.abort):
        with must_raise("ErrNotFound"):
            ask("layer")
    assert [one.ref for one in store.list_statuses()] == ["another layer"]
    writer = store.writer("layer")
    assert writer.status().offset == 0
    writer.close()


@case(
    clause="containerd v1.5.18 metadata/content.go:80, :107, :214, :703",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin=TWIN,
)
def test_blob_that_is_missing_is_not_found(bench: Bench) -> None:
    """Reading, asking, labelling and deleting say the same of what is not there.

    Callers tell by the class that a blob is still to be fetched; from any other
    error they conclude that the store is broken.
    """
    store = bench.inside.content_store()
    for ask in (store.reader_at, store.info, store.delete):
        with must_raise("ErrNotFound"):
            ask(DIGEST)
    with must_raise("ErrNotFound"):
        store.update(DIGEST, {"a": "b"}, "labels.a")
    assert not store.walk()


@case(
    clause="containerd v1.5.18 metadata/content.go:202",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_deleted_blob_is_gone(bench: Bench) -> None:
    """Delete takes away one blob, for good, and leaves the others.

    Deleted twice, it is not found: who counts on having deleted it must know.
    """
    store = bench.inside.content_store()
    digest, other = store.add("layer", DATA), store.add("another layer", BEGIN)
    store.delete(digest)
    for ask in (store.info, store.reader_at, store.delete):
        with must_raise("ErrNotFound"):
            ask(digest)
    assert [info.digest for info in store.walk()] == [other]
    assert store.read(other) == BEGIN


@case(
    clause="containerd v1.5.18 metadata/content.go:116, boltutil/helpers.go:96",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_label_is_changed_by_its_field_path(bench: Bench) -> None:
    """With field paths, an update touches the labels that they name, and no other.

    Two pulls label one blob, each with a key of its own: an update of all labels
    would undo the other's, and the collector would take its content. A label that
    is named and not given is removed.
    """
    store = bench.inside.content_store()
    digest = store.add("layer", DATA, kept="1", changed="2", removed="3")
    assert store.info(digest).labels == {"kept": "1", "changed": "2", "removed": "3"}
    given = {"changed": "4", "added": "5", "ignored": "6"}
    paths = [f"labels.{key}" for key in ("changed", "added", "removed")]
    updated = store.update(digest, given, *paths)
    assert updated.labels == {"kept": "1", "changed": "4", "added": "5"}
    assert store.info(digest).labels == updated.labels


@case(
    clause="containerd v1.5.18 metadata/content.go:126, :135",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
    twin="content-store.label-is-changed-by-its-field-path",
)
def test_update_without_field_paths_replaces_the_labels(bench: Bench) -> None:
    """Without field paths all labels are replaced; a path to anything else is wrong.

    Nothing but labels can be changed: what a blob is follows from its bytes.
    """
    store = bench.inside.content_store()
    digest = store.add("layer", DATA, old="1")
    assert store.update(digest, {"new": "2"}).labels == {"new": "2"}
    with must_raise("ErrInvalidArgument"):
        store.update(digest, {"new": "3"}, "size")
    assert store.info(digest).labels == {"new": "2"}
    assert store.info(digest).size == len(DATA)


@case(
    clause="containerd v1.5.18 metadata/content.go:184, content/adaptor.go:26, filters",
    level=Level.REFERENCE,
    needs={Feature.CONTENT_STORE},
)
def test_walk_chooses_by_digest_and_labels(bench: Bench) -> None:
    """A filter chooses blobs: with a comma both must hold, of several filters one.

    So whoever looks for the content of one registry, or for layers that are
    unpacked, need not read everything that there is.
    """
    store = bench.inside.content_store()
    one = store.add("one", b"one", kind="layer", base="yes")
    two = store.add("two", b"two", kind="layer")
    three = store.add("three", b"three", kind="config")

    def walked(*filters: str) -> set[str]:
        return {info.digest for info in store.walk(*filters)}

    assert walked() == {one, two, three}
    assert walked("labels.kind==layer") == {one, two}
    assert walked("labels.kind==layer,labels.base") == {one}
    assert walked("labels.base", f"digest=={three}") == {one, three}
    assert walked("labels.kind!=layer") == {three}
