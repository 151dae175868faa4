/*
 * A wire with a round-trip time, for kernels without netem: two TUN devices, each in a network namespace of its own, and between them
 * this process, which holds every packet for half the round trip. No limit of bandwidth, no loss.
 * As with a real card (and with netem between veth devices) the system hands over up to 64 kB of TCP at once, to be cut into packets of the
 * MTU by whoever has them last: each packet by itself took a system call here and a way through both stacks. And as a wire waits for no
 * processor, this process goes first where it may: what it is late for would be a longer round trip for those who keep both busy.
 * usage: delay NAMESPACE_A ADDRESS_A NAMESPACE_B ADDRESS_B HALF_RTT_MICROSECONDS; prints "ready" when both ends are up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 24, PACKET = sizeof(struct virtio_net_hdr) + 65535, BURST = 128 };

/* With the header that says how it is to be cut. */
struct packet { long long due; int length; unsigned char bytes[]; };
enum { MOST = sizeof(struct packet) + PACKET };
/* A ring of packets on their way, each in one piece; they fall due in the order they came. */
struct lane { int from, to; size_t head, tail; unsigned char *ring; };

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) { perror(what); exit(1); }

static int open_end(const char *namespace, const char *address) {
  char text[256];
  snprintf(text, sizeof text, "/run/netns/%s", namespace);
  int ns = open(text, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET)) fail(text);
  close(ns);
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail("/dev/net/tun");
  struct ifreq request = {0};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  strcpy(request.ifr_name, "wire");
  if (ioctl(fd, TUNSETIFF, &request)) fail("TUNSETIFF");
  if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)) fail("TUNSETOFFLOAD");
  snprintf(text, sizeof text, "ip addr add %s/24 dev wire && ip link set wire mtu 1500 txqueuelen 20000 up && ip link set lo up", address);
  if (system(text)) exit(1);
  return fd;
}

static struct packet *packet_at(const struct lane *lane, size_t at) {
  return (struct packet *)(lane->ring + at % RING);
}

/* Where the next one lies: none begins so near the ring's end that the largest might not fit. */
static size_t after(const struct lane *lane, size_t at) {
  at += (sizeof(struct packet) + (size_t)packet_at(lane, at)->length + 7) / 8 * 8;
  return RING - at % RING < MOST ? at + RING - at % RING : at;
}

static int take(struct lane *lane, long long delay) {
  int taken = 0;
  while (taken < BURST && lane->tail - lane->head < RING - 2 * MOST) {
    struct packet *packet = packet_at(lane, lane->tail);
    ssize_t length = read(lane->from, packet->bytes, PACKET);
    if (length <= 0) break;
    packet->length = (int)length;
    packet->due = now_ns() + delay;
    lane->tail = after(lane, lane->tail);
    taken++;
  }
  return taken;
}

static void give(struct lane *lane) {
  long long now = now_ns();
  while (lane->head != lane->tail) {
    struct packet *packet = packet_at(lane, lane->head);
    if (packet->due > now) return;
    if (write(lane->to, packet->bytes, (size_t)packet->length) < 0 && errno == EAGAIN) return;
    lane->head = after(lane, lane->head);
  }
}

int main(int count, char **words) {
  if (count != 6) return fprintf(stderr, "usage: delay NS_A ADDR_A NS_B ADDR_B MICROSECONDS\n"), 64;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
  long long delay = atoll(words[5]) * 1000;
  int a = open_end(words[1], words[2]), b = open_end(words[3], words[4]);
  struct lane lanes[2] = {{a, b, 0, 0, malloc(RING)}, {b, a, 0, 0, malloc(RING)}};
  if (!lanes[0].ring || !lanes[1].ring) fail("malloc");
  puts("ready");
  fflush(stdout);
  for (;;) {
    long long wait = -1, now = now_ns();
    for (int i = 0; i < 2; i++) {
      if (lanes[i].head == lanes[i].tail) continue;
      long long left = packet_at(&lanes[i], lanes[i].head)->due - now;
      if (left < 0) left = 0;
      if (wait < 0 || left < wait) wait = left;
    }
    struct pollfd ends[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    struct timespec limit = {wait / 1000000000LL, wait % 1000000000LL};
    ppoll(ends, 2, wait < 0 ? NULL : &limit, NULL);
    for (int round = 0; round < 8; round++) {
      int taken = take(&lanes[0], delay) + take(&lanes[1], delay);
      give(&lanes[0]);
      give(&lanes[1]);
      if (!taken) break;
    }
  }
}
