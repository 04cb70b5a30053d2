"""Tests of what reaches the terminal of what a JVM says."""

import subprocess
import sys

from trackpools.shell.spark.jvm_stderr import NOTICE

SCRIPT = """
import subprocess, sys
from trackpools.shell.spark.jvm_stderr import NOTICE, without_incubator_notice

JVM = "import os, sys; os.write(2, sys.argv[1].encode()); sys.stdin.read(); os.write(2, b'ended, without a line end')"
with without_incubator_notice():
    words = NOTICE.decode() + "WARN a real warning\\n"
    jvm = subprocess.Popen([sys.executable, "-c", JVM, words], stdin=subprocess.PIPE)
    print("said while it starts", file=sys.stderr)
print("said by Python afterwards", file=sys.stderr)
jvm.communicate(b"")
import threading
for thread in threading.enumerate():
    if thread.name == "jvm-stderr":
        thread.join(10)
"""


def test_only_the_notice_of_incubator_modules_is_left_out():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60
    )
    assert NOTICE.decode().strip() not in done.stderr
    for said in ("a real warning", "ended, without a line end", "said by Python", "said while it starts"):
        assert said in done.stderr
