"""Prints, for each encoding named, the name under which tiktoken looks for its file in a cache.

The name is made from an address that only tiktoken knows, so tiktoken is asked for it: it
builds the encoding, and a reader that reads nothing tells what it would have read.
"""

import hashlib
import json
import sys
from unittest import mock

import tiktoken.load
import tiktoken_ext.openai_public as public


def cache_name(encoding):
    """Returns the name of the file with the encoding's vocabulary."""
    with mock.patch.object(tiktoken.load, "read_file_cached", return_value=b"") as read:
        public.ENCODING_CONSTRUCTORS[encoding]()
    return hashlib.sha1(read.call_args.args[0].encode()).hexdigest()


print(json.dumps({encoding: cache_name(encoding) for encoding in sys.argv[1:]}))
