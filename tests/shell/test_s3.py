"""The flow on s3a:// against an S3 of this machine, with the real client: the same tables as on a local root, and nothing but tables in the bucket."""

import sys
import urllib.request

import pytest

from flows import SMALL, events, hashes
from shell.test_connect import asked_elsewhere, environment
from trackpools.config import Config
from trackpools.shell import jars
from trackpools.shell.doctor import checks
from trackpools.shell.lock import writer_lock
from trackpools.shell.settings import load_config

BUCKET, ROOT = "music", "s3a://music/some/trackpools"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
