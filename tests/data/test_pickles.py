from __future__ import annotations

import pickle
import random
import re
import struct
import time

import numpy as np
import pytest

from sdn_lib.data.photographs import pickles
from sdn_lib.errors import SDNError


def python2(array, code, binary=True):
    """Return the pickle that Python 2 and its numpy wrote for an array: protocol 2, or 0."""
    raw = array.tobytes()
    if binary:
        shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
        return (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85"
            b"U\x01b\x87Rq\x02(K\x01" + shape + b"cnumpy\ndtype\nq\x03U\x02" + code + b"K\x00K\x01"
            b"\x87Rq\x04(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            b"T" + struct.pack("<I", len(raw)) + raw + b"tb."
        )
    text = "".join(f"\\x{byte:02x}" for byte in raw).encode()
    shape = b"(" + b"".join(b"I%d\n" % n for n in array.shape) + b"t"
    return (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntS'b'\ntRp2\n"
        b"(I1\n" + shape + b"cnumpy\ndtype\np3\n(S'" + code + b"'\nI0\nI1\ntRp4\n"
        b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + text + b"'\ntb."
    )


def saved(tmp_path, content):
    path = tmp_path / "from_afar.pickle"
    path.write_bytes(content)
    return path


def same(one, other):
    if isinstance(one, np.ndarray):  # numpy turns the bytes of arrays to the machine's order
        return one.dtype == other.dtype.newbyteorder("=") and np.array_equal(one, other)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(same, one, other)) and len(one) == len(other)
    return type(one) is type(other) and one == other


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back(tmp_path, protocol):
    draw = np.random.default_rng(0)
    value = [
        ["jpg/image_06734", "naïve\r\n", b"\x00\xff"],
        (1, -(2**70), 0.5, True, None),
        {"a": [np.int64(7), np.float32(0.25), np.uint8(255)], 3: ()},
        draw.normal(size=(2, 10, 1024)).astype(np.float32),
        [draw.normal(size=(3, 4)).astype(kind) for kind in ("f2", ">f4", "f8", "i2", ">i8", "u1")],
        np.asfortranarray(draw.normal(size=(5, 6))),
        draw.normal(size=(3, 4, 5)).transpose(1, 0, 2),
        draw.normal(size=(8, 6))[::2, ::3],
        np.array(2.5),
    ]
    found = pickles.load(saved(tmp_path, pickle.dumps(value, protocol)))
    assert found[2].keys() == value[2].keys() and same(found[2]["a"], value[2]["a"])
    assert same(found[:2] + found[3:], value[:2] + value[3:])


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_numpy_1_and_2_come_back(tmp_path, core, protocol):
    array = np.random.default_rng(0).normal(size=(3, 10, 64)).astype(np.float32)
    frozen = array.copy()
    frozen.flags.writeable = False
    content = pickle.dumps([array, frozen, np.float32(2)], protocol)
    # Names carry their length from protocol 4 on.
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        other = name.replace(b"numpy._core", core)
        content = content.replace(
            b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(other)]) + other
        )
        content = content.replace(b"c" + name, b"c" + other)
    frame = content.find(b"\x95") if protocol >= 4 else -1
    if frame >= 0 and core == b"numpy.core":
        content = content[:frame] + content[frame + 9 :]
    found = pickles.load(saved(tmp_path, content))
    assert same(found, [array, frozen, np.float32(2)])


@pytest.mark.parametrize("binary", [True, False])
def test_arrays_of_python_2_come_back(tmp_path, binary):
    array = np.random.default_rng(0).normal(size=(3, 10, 128)).astype(np.float32)
    found = pickles.load(saved(tmp_path, python2(array, b"f4", binary)))
    assert same(found, array)


def test_text_of_python_2_is_latin1(tmp_path):
    assert pickles.load(saved(tmp_path, b"(lp0\nS'caf\\xe9'\np1\na.")) == ["café"]


def test_the_published_splits(shared):
    for split, count in (("train", 8855), ("test", 2933)):
        folder = shared / "datasets" / "cub_meta" / split
        names = pickles.load(folder / "filenames.pickle")
        classes = pickles.load(folder / "class_info.pickle")
        assert len(names) == len(classes) == count and {type(name) for name in names} == {str}
        assert [int(name[:3]) for name in names] == classes


def test_a_list_within_itself_is_read_to_its_end(tmp_path):
    found = pickles.load(saved(tmp_path, b"\x80\x02]q\x00h\x00a."))
    assert found[0] is found and len(found) == 1


# --- what is refused ----------------------------------------------------------------------------


class Asks:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


FROMBUFFER = b"\x80\x05cnumpy._core.numeric\n_frombuffer\n"
RECONSTRUCT = b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
HUGE = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
EMPTY = RECONSTRUCT + b"K\x00\x85U\x01b\x87R"
I8 = b"cnumpy\ndtype\nU\x02i8\x85R"
SHARED_TEXT = (
    b"\x80\x02]q\x00(T" + struct.pack("<I", 8 << 20) + bytes(8 << 20) + b"q\x010" + I8 + b"q\x020"
)
ONE_MORE = EMPTY[2:] + b"(K\x01J" + struct.pack("<i", 1 << 20) + b"\x85h\x02\x89h\x01tb"

ATTACKS = {
    "os.system": (b"cos\nsystem\n(S'touch MARK'\ntR.", "asks for os.system"),
    "posix.system": (b"\x80\x02cposix\nsystem\nU\x0atouch MARK\x85R.", "posix.system"),
    "builtins.eval": (b"cbuiltins\neval\n(S'open(\"MARK\", \"w\")'\ntR.", "builtins.eval"),
    "Python 2's eval": (b"c__builtin__\neval\n(S'open(\"MARK\", \"w\")'\ntR.", "__builtin__.eval"),
    "exec, by stack": (b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x011\x85R.", "builtins.exec"),
    "a dotted name": (b"\x80\x04\x8c\x05numpy\x8c\x09dtype.mro\x93)R.", r"numpy.dtype.mro"),
    "numpy's own reader": (b"cnumpy\nload\n(S'x.npy'\nNI01\ntR.", "numpy.load"),
    "numpy's own exec": (b"cnumpy.testing\nrunstring\n(S'1'\n}tR.", "numpy.testing.runstring"),
    "INST": (b"(S'touch MARK'\nios\nsystem\n.", "instruction b'i'"),
    "OBJ": (b"(cnumpy\nndarray\nK\x09o.", "instruction b'o'"),
    "NEWOBJ": (b"\x80\x02cnumpy\nndarray\nK\x09\x85\x81.", r"instruction b'\\x81'"),
    "EXT1": (b"\x80\x02\x82\x01.", r"instruction b'\\x82'"),
    "PERSID": (b"Pos.system\n.", "instruction b'P'"),
    "a set": (b"\x80\x04\x8f.", r"instruction b'\\x8f'"),
    "a huge byte array": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 60) + b".", "are announced"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", r"instruction b'\\x97'"),
    "a byte array as a value": (b"\x80\x05\x96" + struct.pack("<Q", 1) + b"a.", "holds an object"),
    "a huge shape, protocol 5": (
        FROMBUFFER + b"(C\x00" + I8 + HUGE + b"\x85U\x01CtR.",
        "comes with 0 bytes",
    ),
    "a shape below zero, protocol 5": (
        FROMBUFFER + b"(C\x08aaaaaaaa" + I8 + b"J\xff\xff\xff\xff\x85U\x01CtR.",
        "not plain",
    ),
    "no dtype, protocol 5": (FROMBUFFER + b"(C\x01aU\x01OK\x01\x85U\x01CtR.", "not plain"),
    "an odd order, protocol 5": (FROMBUFFER + b"(C\x00" + I8 + b"K\x00\x85U\x01XtR.", "order"),
    "one text for many arrays, protocol 5": (
        b"\x80\x05]q\x00(B" + struct.pack("<I", 8 << 20) + bytes(8 << 20) + b"q\x010" + I8
        + b"q\x020" + 9 * (FROMBUFFER[2:] + b"(h\x01h\x02J" + struct.pack("<i", 1 << 20)
        + b"\x85U\x01CtR") + b"e.",
        "more bytes than the file",
    ),
    "calling text": (b"\x80\x02U\x06system)R.", "calls"),
    "calling an array's class": (b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.", "callable"),
    "changing a function": (
        b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__U\x01xs\x86b.",
        "changes an object",
    ),
    "a function as a value": (b"(lp0\nc_codecs\nencode\na.", "holds an object"),
    "a dtype as a value": (b"\x80\x02" + I8 + b".", "holds an object"),
    "another encoding": (b"c_codecs\nencode\n(V1\nVzlib_codec\ntR.", "encodes"),
    "objects in an array": (pickle.dumps(np.array([{}, "x"], object), 2), "dtype 'O8'"),
    "fields in an array": (pickle.dumps(np.zeros(2, "i4,f4"), 2), "dtype 'V8'"),
    "text in an array": (pickle.dumps(np.array(["a"]), 2), "dtype 'U1'"),
    "dates in an array": (pickle.dumps(np.zeros(2, "M8[s]"), 2), "dtype 'M8'"),
    "a dtype from a list": (b"cnumpy\ndtype\n((lS'O'\natR.", "dtype"),
    "an array's subclass": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nmemmap\nK\x00\x85U\x01b\x87R.",
        "numpy.memmap",
    ),
    "fields by the back door": (
        b"\x80\x02" + I8 + b"(K\x03U\x01<NU\x01a\x85}U\x01a" + I8 + b"K\x00\x86s"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
        "not plain",
    ),
    "a huge array": (RECONSTRUCT + HUGE + b"\x85U\x01b\x87R.", "before its bytes"),
    "a huge shape": (
        EMPTY + b"(K\x01" + HUGE + b"\x85" + I8 + b"\x89U\x00tb.",
        "comes with 0 bytes",
    ),
    "a shape below zero": (
        EMPTY + b"(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86" + I8 + b"\x89U\x08aaaaaaaatb.",
        "not plain",
    ),
    "a number of many bytes": (
        b"\x80\x02cnumpy.core.multiarray\nscalar\n" + I8 + b"U\x09123456789\x86R.",
        "not plain",
    ),
    "huge bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".", "are announced"),
    "huge text": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b".", "are announced"),
    "a huge frame": (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".", "are announced"),
    "a huge number": (b"\x80\x02\x8b\xff\xff\xff\x7f1.", "are announced"),
    "text of a length below zero": (b"\x80\x02T\xff\xff\xff\xffx.", "damaged"),
    "one text for many arrays": (SHARED_TEXT + 9 * ONE_MORE + b"e.", "more bytes than the file"),
    "a page of HTML": (b"<!DOCTYPE html><title>Quota exceeded</title>", "instruction b'<'"),
    "nothing": (b"", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused_before_anything_happens(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, words = ATTACKS[name]
    path = saved(tmp_path, content)
    start = time.perf_counter()
    with pytest.raises(SDNError, match=f"{re.escape(str(path))}.*{words}.*fetch it again"):
        pickles.load(path)
    assert time.perf_counter() - start < 5
    assert not (tmp_path / "MARK").exists()
    assert np.dtype("i8") == np.int64 and np.dtype("i8").fields is None


@pytest.mark.parametrize("protocol", range(6))
def test_reduce_tricks_are_refused_in_every_protocol(tmp_path, protocol):
    mark = tmp_path / "MARK"
    for trick in (Asks(mark.touch), Asks(eval, "1"), Asks(pickle.loads, b"N."), Asks(getattr, 1)):
        path = saved(tmp_path, pickle.dumps([trick], protocol))
        with pytest.raises(SDNError, match="from_afar.pickle.*not admitted"):
            pickles.load(path)
    assert not mark.exists()


def test_a_memo_of_any_index_takes_no_room(tmp_path):
    assert pickles.load(saved(tmp_path, b"\x80\x02]r\xff\xff\xff\x7f.")) == []
    assert pickles.load(saved(tmp_path, b"(lp99999999999\n.")) == []


def test_a_byte_order_that_comes_with_the_file_stays_there(tmp_path):
    swapped = b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = b"\x80\x02cnumpy.core.multiarray\nscalar\n" + I8 + swapped + b"U\x08" + bytes(7)
    assert pickles.load(saved(tmp_path, content + b"\x01\x86R.")) == 1
    assert np.dtype("i8").isnative and np.dtype(np.int64).isnative


def test_a_file_above_the_limit_is_not_opened(tmp_path):
    path = saved(tmp_path, pickle.dumps("x" * 1000))
    with pytest.raises(SDNError, match="from_afar.pickle has .* at most 100 are read"):
        pickles.load(path, limit=100)


@pytest.mark.parametrize(
    "value", [["002.Laysan/Laysan_1"], [np.int64(2)], np.zeros((2, 3), np.float32)]
)
def test_line_ends_that_git_converted_are_named(tmp_path, value):
    path = saved(tmp_path, pickle.dumps(value, 0).replace(b"\n", b"\r\n"))
    with pytest.raises(SDNError, match="from_afar.pickle.*line-ending.*again as a binary file"):
        pickles.load(path)


def test_a_published_split_that_git_converted_is_named(tmp_path, shared):
    content = (shared / "datasets/cub_meta/test/filenames.pickle").read_bytes()
    with pytest.raises(SDNError, match="from_afar.pickle.*line-ending"):
        pickles.load(saved(tmp_path, content.replace(b"\n", b"\r\n")))


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "none.pickle", tmp_path):
        with pytest.raises(SDNError, match=f"{re.escape(str(path))} cannot be read"):
            pickles.load(path)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")
@pytest.mark.parametrize("binary", [True, False])
def test_cut_and_damaged_files_raise_one_kind_of_error(tmp_path, binary):
    whole = python2(np.arange(12, dtype=np.float32).reshape(3, 4), b"f4", binary)
    for end in [*range(0, len(whole), 5), len(whole) - 1]:
        with pytest.raises(SDNError, match="from_afar.pickle"):
            pickles.load(saved(tmp_path, whole[:end]))
    draw = random.Random(0)
    for _ in range(200):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(whole))] = draw.randrange(256)
        try:
            pickles.load(saved(tmp_path, bytes(content)))
        except SDNError as error:
            assert "from_afar.pickle" in str(error)
