/* The least that starting scripts can cost: vfork, two files for the streams, exec; WIDTH at a time. usage: vfork-loop WIDTH FOLDER… */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
  int width = atoi(words[1]), running = 0;
  for (int i = 2; i < count; i++) {
    char script[4096], out[4096], err[4096];
    snprintf(script, sizeof script, "%s/job.sh", words[i]);
    snprintf(out, sizeof out, "%s/stdout.txt", words[i]);
    snprintf(err, sizeof err, "%s/stderr.txt", words[i]);
    if (running == width) wait(NULL), running--;
    if (vfork() == 0) {
      int o = open(out, O_CREAT | O_WRONLY, 0600), e = open(err, O_CREAT | O_WRONLY, 0600);
      dup2(o, 1);
      dup2(e, 2);
      execl(script, script, (char *)0);
      _exit(127);
    }
    running++;
  }
  while (wait(NULL) > 0) {}
  return 0;
}
