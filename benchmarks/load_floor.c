/*
 * What it takes at least: load_floor ADDRESS PORT CONNECTS [SECONDS]
 *
 * Begins all connects, waits for them with epoll(7), and reads SO_ERROR of each.  Prints, as JSON,
 * how many have succeeded, the processor time and the time that it took, and the memory for each;
 * closes them all, leaving no TIME_WAIT, when standard input ends.
 *
 * With SECONDS it does not wait for the connects but for that long: for an address that is silent.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static long resident_bytes(void)
{
    long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &size, &pages) != 2)
        fail("/proc/self/statm");
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int begin(const struct sockaddr_in *address, int epoll)
{
    struct epoll_event event = {.events = EPOLLOUT};
    int one = 1;
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (sock < 0)
        fail("socket");
    if (setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        fail("TCP_NODELAY");
    if (connect(sock, (const struct sockaddr *)address, sizeof *address) && errno != EINPROGRESS)
        fail("connect");
    event.data.fd = sock;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &event))
        fail("EPOLL_CTL_ADD");
    return sock;
}

static int finish(int sock, int epoll)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &length))
        fail("SO_ERROR");
    if (epoll_ctl(epoll, EPOLL_CTL_DEL, sock, NULL))
        fail("EPOLL_CTL_DEL");
    return error == 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct epoll_event events[EVENTS];
    int connects, epoll, ended = 0, connected = 0;
    double cpu, wall;
    long bytes;
    int *socks;
    char rest;

    if (argc < 4 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons(atoi(argv[2]));
    connects = atoi(argv[3]);
    socks = malloc(connects * sizeof *socks);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (socks == NULL || epoll < 0)
        fail("epoll_create1");

    bytes = resident_bytes();
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int each = 0; each < connects; each++)
        socks[each] = begin(&address, epoll);
    bytes = resident_bytes() - bytes;
    if (argc > 4)
        sleep(atoi(argv[4]));
    while (argc == 4 && ended < connects) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);

        if (ready < 0)
            fail("epoll_wait");
        for (int each = 0; each < ready; each++, ended++)
            connected += finish(events[each].data.fd, epoll);
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("{\"connected\": %d, \"cpu\": %.9f, \"wall\": %.9f, \"rss\": %ld}\n",
           connected, cpu, wall, bytes);
    fflush(stdout);

    while (read(0, &rest, 1) > 0)
        ;
    for (int each = 0; each < connects; each++) {
        setsockopt(socks[each], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(socks[each]);
    }
    return 0;
}
