/*
 * What a connect costs without Python: anchor PORT BATCHES SIZE
 *
 * Connects to 127.0.0.1, waiting in connect(2), and closes; prints the seconds that each batch has
 * taken for one, as JSON.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int batches, size, one = 1;

    if (count != 4)
        return 2;
    address.sin_port = htons(atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    batches = atoi(arguments[2]);
    size = atoi(arguments[3]);
    for (int batch = 0; batch < batches; batch++) {
        double start = now();

        for (int i = 0; i < size; i++) {
            int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

            if (sock < 0 || setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)
                || connect(sock, (struct sockaddr *)&address, sizeof address) || close(sock)) {
                perror("anchor");
                return 1;
            }
        }
        printf("%s%.9f", batch ? ", " : "[", (now() - start) / size);
    }
    puts("]");
    return 0;
}
