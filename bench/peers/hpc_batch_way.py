"""What hpc_batch does with paramiko, written from its description (not its code): every step waits for the answer of the one before.

usage: hpc_batch_way.py stage|collect HOST PORT USER KEY COUNT LOCAL REMOTE

stage    per job: three folders, the input, then job.sh, then its x bit; two channels (22 round trips; the original
         was measured at 22 to 23)
collect  per job: the output, then stdout.txt, stderr.txt and finished.out, then everything there removed one by one; one channel
         (45 round trips, as the original)
Prints the seconds of the jobs alone: the connection stands before the clock starts.
"""
import os
import stat
import sys
import time

import paramiko


def send_job(client, local, remote):
    with client.open_sftp() as sftp:
        for folder in (remote, remote + "/input", remote + "/output"):
            sftp.mkdir(folder)
        sftp.put(local + "/input.bin", remote + "/input/input.bin")
    with client.open_sftp() as sftp:
        sftp.put(local + "/job.sh", remote + "/job.sh")
        sftp.chmod(remote + "/job.sh", 0o750)


def remove_tree(sftp, folder):
    for entry in sftp.listdir_attr(folder):
        path = folder + "/" + entry.filename
        if stat.S_ISDIR(entry.st_mode):
            remove_tree(sftp, path)
        else:
            sftp.remove(path)
    sftp.rmdir(folder)


def collect_job(client, local, remote):
    with client.open_sftp() as sftp:
        sftp.get(remote + "/output/output.bin", local + "/output.bin")
        for name in ("stdout.txt", "stderr.txt", "finished.out"):
            with sftp.open(remote + "/" + name) as stream:
                stream.read()
        remove_tree(sftp, remote)


def main():
    what, host, port, user, key, count, local, remote = sys.argv[1:]
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(host, int(port), user, key_filename=key, look_for_keys=False, allow_agent=False)
    act = {"stage": send_job, "collect": collect_job}[what]
    start = time.monotonic()
    for number in range(int(count)):
        act(client, os.path.join(local, str(number)), remote + "/" + str(number))
    print(time.monotonic() - start)
    client.close()


if __name__ == "__main__":
    main()
