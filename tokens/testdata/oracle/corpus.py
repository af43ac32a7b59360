"""Makes texts and writes each with the counts that OpenAI's tiktoken makes of it.

    corpus.py VOCABULARIES [FOLDER...] | go run ./tokens/testdata/oracle
    corpus.py VOCABULARIES --golden >tokens/testdata/golden_made.jsonl

VOCABULARIES is the folder with the embedded *.tiktoken files, so that no network
is needed. The FOLDERs hold files of any kind whose text is taken too; run.sh knows
good ones. A record on standard output is the length of the text and its counts in
ENCODINGS, all of them little-endian 32-bit numbers, and the text. --golden prints
a sample of what is made here as the lines of the golden counts instead.
"""

import codecs
import html
import json
import os
import random
import re
import struct
import sys

import tiktoken
import tiktoken.load

ENCODINGS = ["cl100k_base", "o200k_base", "o200k_harmony", "p50k_base", "r50k_base"]
SEED = 12345
PER_KIND = 2_500_000  # bytes at most from the files of one ending
PER_FILE = 120_000

# One replacement character a byte that is not UTF-8, as the counter reads it.
codecs.register_error("each", lambda e: ("\ufffd" * (e.end - e.start), e.end))

SPACES = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (chr(c).isspace() or c in (0x180E, 0x200B, 0x2060, 0xFEFF))]
SPECIAL = ["<|endoftext|>", "<|endofprompt|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|fim_prefix|>", "<|fim_middle|>",
           "<|fim_suffix|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>", "<|reserved_200012|>"]
RUNS = ["a", "A", "z", "aA", "ab", "abc", "=", "-", "_", ".", "/", "*", "#", " ", "\t", "\n", "\r\n", "\r", " \n", "\n ", "\t ", "0", "9", "½",
        "é", "e\u0301", "\u0301", "!\u0301", "я", "Я", "中", "的", "あ", "ก", "ا", "한", "अ", "🙂", "👨\u200d👩\u200d👧", "🇩🇪", "'", "'s", "ſ", "'ſ",
        "\u00a0", "\u3000", "\u200b", "\ufeff", "\ufffd", "\x00", "\x7f", "ǅ", "ʰ", "Aʰ", "ªa", "٣", "<|", "|>", "\\", "\"", "ha", "lol", "中文", "ABCa"]
CLASSES = {
    "Lu": "ABZÉЖΩ", "Lt": "ǅǈᾈ", "Ll": "abzéжωß", "Lm": "ʰˮー々", "Lo": "ªº中あא한ก", "M": "\u0301\u0300\u093e\u20dd\ufe0f",
    "N": "0129½Ⅷ٣一²", "P": "'’\"!?.,;:-/\\()[]{}<>|#@=+*~`^$€🙂", "S": " \t\n\r\v\f\u0085\u00a0\u2003\u2028\u3000",
}
CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'rE", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D", "'ſ", "’s", "'", "''",
                "'l", "'r", "'v", "'K", "'İ", "'sſ", "'x"]


def files(folder):
    """The readable texts of a folder, a name's ending at a time."""
    taken = {}
    for base, folders, names in sorted(os.walk(folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(base, name)
            kind = base if name.endswith(".html") else os.path.splitext(name)[1]
            if taken.get(kind, 0) >= PER_KIND * (4 if kind == base else 1) or not os.path.isfile(path) or name.endswith((".so", ".o", ".a", ".pyc", ".gz", ".wasm", ".png")):
                continue
            with open(path, "rb") as f:
                data = f.read(PER_FILE)
            if not data or data.count(0) > len(data) // 100:
                continue
            if name.endswith((".html", ".htm", ".xml")):
                data = html.unescape(re.sub(r"<[^>]*>", "", data.decode("utf-8", "replace"))).encode()
            taken[kind] = taken.get(kind, 0) + len(data)
            yield data


def cut(rng, data):
    """Records of many sizes, cut anywhere, in one of twenty cases within a character."""
    at = 0
    while at < len(data):
        size = rng.choice([rng.randint(1, 40), rng.randint(1, 400), rng.randint(400, 4000), rng.randint(4000, 40000)])
        end = min(len(data), at + size)
        if rng.random() > 0.05:
            while end < len(data) and data[end] & 0xC0 == 0x80:
                end += 1
        yield data[at:end]
        at = end


def mix(rng, parts, most):
    return "".join(rng.choice(parts) for _ in range(rng.randint(1, most)))


def code_points():
    """Every code point in rows with others, and alone wherever any is assigned."""
    row = ""
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        r = chr(c)
        if c < 0x34000 or 0xE0000 <= c < 0xE0200 or c % 64 == 0:
            yield f"{r} a{r}b {r}{r}B 1{r}!{r}\n{r}'s"
        row += r
        if len(row) == 60:
            yield row
            row = ""


def made(rng):
    """Texts that files rarely have."""
    yield from code_points()
    everything = [c for group in CLASSES.values() for c in group]
    words = "the of and a to in is you that it he was for on are as with his they I at be this have from The In".split()
    for _ in range(6000):
        yield mix(rng, SPACES + ["a", "1", "!"], 24)
        yield mix(rng, [" ", "\n", "\r\n", "\t", "a", "1", "="], 30)
        yield mix(rng, CONTRACTIONS + words + [" ", "I", "É", "中", "1", "\u0301"], 16)
        yield mix(rng, CLASSES["Lu"] + CLASSES["Lt"] + CLASSES["Ll"] + CLASSES["Lm"] + CLASSES["Lo"] + CLASSES["M"] + " '", 24)
        yield mix(rng, CLASSES["N"] + "0123456789.,-+eE ", 30)
        yield mix(rng, CLASSES["P"] + "/\r\n ", 30)
        yield mix(rng, everything, 60)
        yield mix(rng, SPECIAL + [s[: rng.randint(1, len(s))] for s in SPECIAL] + words + [" ", "\n"], 10)
        yield mix(rng, [" " + w for w in words] + [", ", ". ", "\n\n"], 60)
    for _ in range(20000):
        start = rng.choice([0x20, 0xA0, 0x370, 0x400, 0x590, 0x600, 0x900, 0xE00, 0x1100, 0x1E00, 0x2000, 0x3040, 0x4E00, 0xAC00, 0xA000, 0x1F300, 0x10000])
        yield "".join(chr(start + rng.randint(0, 255)) for _ in range(rng.randint(1, 60)))
    for unit in RUNS:
        for n in [*range(1, 20), 31, 32, 33, 63, 64, 65, 99, 100, 101, 127, 128, 129, 130, 255, 256, 257, 500, 511, 513, 999, 1000, 1023, 1024, 1025, 2047, 2049, 3000]:
            yield unit * n
            if n < 1100:
                yield "x" + unit * n + " y"
    for size in [50, 200, 1000, 1024, 1025, 1500, 3000, 10000]:
        for letters in ["abcdefghijklmnopqrstuvwxyz", "etaoinshrdlu", "ab", "ABCabc", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789abcdef",
                        "абвгдежзийклмнопрстуфхцчшщ", "的一是不了人我在有他这中大来上国", "あいうえおかきくけこ", "=-_*#", " \t", "acgt", "ˮʰª中あ", "\u0301\u0300", "🙂🙃😀👍"]:
            for _ in range(6):
                yield "".join(rng.choices(letters, k=size))


def damaged(rng):
    """Bytes that are not UTF-8."""
    for _ in range(12000):
        text = bytearray(mix(rng, [c for group in CLASSES.values() for c in group] + ["word ", " the"], 30).encode())
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(text) + 1)
            text[at:at + rng.randint(0, 2)] = rng.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xf0\x9f\x99", b"\xc3", b""])
        yield bytes(text)
    for n in [1, 2, 7, 30, 500, 1025, 3000]:
        yield b"\xff" * n
        yield rng.randbytes(n)
        yield b"\x80abc\xc3" * n


def records(folders):
    rng = random.Random(SEED)
    for folder in folders:
        for data in files(folder):
            yield from cut(rng, data)
    for text in made(rng):
        yield text.encode()
    yield from damaged(rng)


def golden(encodings):
    rng = random.Random(SEED)
    texts = [text for text in made(rng) if len(text) < 400]
    # The long s, and what Unicode has since 15.1 and 16.0.
    texts = rng.sample(texts, 1900) + ["'ſ", "it'ſ", "IT'ſx", "\u0897a\u0897", "Ᲊᲊ aᲉ", "ꟋꟌꟍ", "\U000105c0\U000105c1", "\U00010d40\U00010d41 1", "\U0002ebf0中", "\U00013460"]
    for text in texts:
        counts = [len(encodings[name].encode_ordinary(text)) for name in ("cl100k_base", "o200k_base", "p50k_base", "r50k_base")]
        print(json.dumps([text, *counts]))


def main():
    vocabularies, folders = sys.argv[1], sys.argv[2:]
    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    tiktoken.load.read_file = lambda path: open(os.path.join(vocabularies, path.rsplit("/", 1)[-1]), "rb").read()
    encodings = [tiktoken.get_encoding(name) for name in ENCODINGS]
    if folders == ["--golden"]:
        golden(dict(zip(ENCODINGS, encodings)))
        return
    for data in records(folders):
        text = data.decode("utf-8", "each")
        counts = [len(e.encode_ordinary(text)) for e in encodings]
        sys.stdout.buffer.write(struct.pack("<6I", len(data), *counts))
        sys.stdout.buffer.write(data)


main()
