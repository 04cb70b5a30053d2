"""Run job files one after another in one application, each as spark-submit would run it.

Each job has its own arguments and its own exit code. The argument is a JSON list of [file, arguments]. The
output is one JSON object with each job's exit code, its answer, and its start and end in ms.
"""

import contextlib
import io
import json
import runpy
import sys
import time

done = []
for job, arguments in json.loads(sys.argv[1]):
    out, code, began = io.StringIO(), 0, time.time()
    sys.argv = [job, *arguments, "--json"]
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(job, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    done.append(
        {
            "code": code,
            "said": json.loads(out.getvalue().splitlines()[-1]),
            "span": [1000 * began, 1000 * time.time()],
        }
    )
print(json.dumps({"jobs": done}))
