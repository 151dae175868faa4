"""A loop as hpc_batch's runner has it: one script after the other, streams to files, three lines about its end. usage: DIR"""
import datetime
import os
import subprocess
import sys

for name in sorted(os.listdir(sys.argv[1])):
    folder = os.path.join(sys.argv[1], name)
    start = datetime.datetime.now()
    with open(folder + "/stdout.txt", "w") as out, open(folder + "/stderr.txt", "w") as err:
        rc = subprocess.run([folder + "/job.sh"], stdout=out, stderr=err).returncode
    with open(folder + "/finished.out", "w") as finished:
        finished.write(f"{rc}\n{start}\n{datetime.datetime.now()}\n")
