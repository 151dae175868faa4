"""A tool author's caller as the first hpc_batch taught it: the job file grows in place, the result is polled for.

    python3 original_client.py DROPBOX JOB.yml [PERIOD]

prints the status of the result and exits 0 if and only if it is "ok". Needs PyYAML, as those callers did.
"""

import pathlib
import sys
import tempfile
import time

import yaml


def submit_and_wait(dropbox, job, period=10):
    if not pathlib.Path(dropbox).is_dir():
        raise NotADirectoryError(dropbox)
    # No dot name, no rename: the gateway can see the file while it is still being written
    with tempfile.NamedTemporaryFile(dir=dropbox, suffix=".job", delete=False, mode="w") as job_file:
        yaml.dump(job, job_file)
    finished = pathlib.Path(job_file.name + ".finished")
    while not finished.exists():
        time.sleep(period)
    with finished.open() as result_file:
        result = yaml.safe_load(result_file)
    finished.unlink()
    return result


if __name__ == "__main__":
    with open(sys.argv[2]) as description:
        wanted = yaml.safe_load(description)
    result = submit_and_wait(sys.argv[1], wanted, float(sys.argv[3]) if len(sys.argv) > 3 else 10)
    print(result["job"]["status"])
    sys.exit(0 if result["job"]["status"] == "ok" else 1)
