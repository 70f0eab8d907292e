/* A mock upstream at C speed for the gateway's benchmark: bytes that were made beforehand, one epoll loop.

       mock PORT FOLDER TOKENS PACE_US

   FOLDER holds the answers as files of whole HTTP responses: whole, models, check, and stream (all frames at once); and the paced stream in pieces: head, and
   frame-0 ... frame-(TOKENS - 1), the last of which ends it. A chat body with "stream": true gets the stream; with
   "max_tokens": 65 besides it gets the head and frame-0 at once and one more frame each PACE_US microseconds (gateways drop headers that they do not know).
   It parses no JSON: what the benchmark sends is known. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4096
#define ROOM 65536
#define FRAMES 1024

typedef struct { char *bytes; size_t length; } Answer;
typedef struct { char in[ROOM]; size_t filled; int next; int64_t due; } Connection; /* next: number of the paced frame to send, 0 none */

static Connection *connections[CONNECTIONS];
static Answer whole, models, check, stream, head, frames[FRAMES];
static int tokens, highest;
static int64_t pace;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static Answer load(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) { fprintf(stderr, "mock: cannot read %s\n", path); exit(1); }
    fseek(file, 0, SEEK_END);
    Answer out = {NULL, (size_t)ftell(file)};
    rewind(file);
    out.bytes = malloc(out.length + 1);
    if (fread(out.bytes, 1, out.length, file) != out.length) { fprintf(stderr, "mock: cannot read %s\n", path); exit(1); }
    fclose(file);
    return out;
}

static void drop(int fd) {
    close(fd);
    free(connections[fd]);
    connections[fd] = NULL;
}

/* Answers are small beside the socket's buffer; a caller that does not read is dropped, so that a part of an answer is never left out silently. */
static int say(int fd, Answer what) {
    size_t sent = 0;
    while (sent < what.length) {
        ssize_t n = send(fd, what.bytes + sent, what.length - sent, MSG_NOSIGNAL);
        if (n > 0) { sent += (size_t)n; continue; }
        drop(fd);
        return 0;
    }
    return 1;
}

static size_t body_length(const char *start, const char *end) {
    for (const char *line = start; line < end; line++) {
        if (!strncasecmp(line, "content-length:", 15)) return strtoul(line + 15, NULL, 10);
        line = memchr(line, '\n', (size_t)(end - line));
        if (!line) break;
    }
    return 0;
}

static int holds(const char *text, size_t length, const char *what) { return memmem(text, length, what, strlen(what)) != NULL; }

/* One request; 0 when the connection is gone. */
static int answer(int fd, const char *start, size_t head_length, const char *body, size_t length) {
    size_t first = head_length < 60 ? head_length : 60;
    if (holds(start, first, "/v1/check")) return say(fd, check);
    if (holds(start, first, "/models")) return say(fd, models);
    if (!holds(body, length, "\"stream\":true") && !holds(body, length, "\"stream\": true")) return say(fd, whole);
    if (!holds(body, length, "\"max_tokens\":65") && !holds(body, length, "\"max_tokens\": 65")) return say(fd, stream);
    if (!say(fd, head) || !say(fd, frames[0])) return 0;
    connections[fd]->next = 1;
    connections[fd]->due = now() + pace;
    return 1;
}

static void hear(int fd) {
    Connection *one = connections[fd];
    if (!one) return;
    ssize_t n = recv(fd, one->in + one->filled, ROOM - 1 - one->filled, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || one->filled + (size_t)n >= ROOM - 1) { drop(fd); return; }
    one->filled += (size_t)n;
    one->in[one->filled] = 0;
    for (;;) {
        char *end = memmem(one->in, one->filled, "\r\n\r\n", 4);
        if (!end) return;
        size_t head_length = (size_t)(end - one->in) + 4, length = body_length(one->in, end);
        if (one->filled < head_length + length) return;
        if (!answer(fd, one->in, head_length, one->in + head_length, length)) return;
        one->filled -= head_length + length;
        memmove(one->in, one->in + head_length + length, one->filled);
    }
}

/* Sends what is due; returns the milliseconds until the next frame, -1 for never. */
static int paced(void) {
    int64_t soonest = INT64_MAX, at = now();
    for (int fd = 0; fd <= highest; fd++) {
        Connection *one = connections[fd];
        while (one && one->next && one->due <= at) {
            int last = one->next == tokens - 1;
            if (!say(fd, frames[one->next])) break;
            one->next = last ? 0 : one->next + 1;
            one->due += pace;
        }
        one = connections[fd];
        if (one && one->next && one->due < soonest) soonest = one->due;
    }
    return soonest == INT64_MAX ? -1 : (int)((soonest - at) / 1000);
}

int main(int count, char **values) {
    if (count != 5) { fprintf(stderr, "usage: mock PORT FOLDER TOKENS PACE_US\n"); return 2; }
    tokens = atoi(values[3]);
    pace = atoll(values[4]);
    if (tokens < 2 || tokens > FRAMES) { fprintf(stderr, "mock: TOKENS is 2 to %d\n", FRAMES); return 2; }
    whole = load(values[2], "whole"), models = load(values[2], "models"), check = load(values[2], "check");
    stream = load(values[2], "stream"), head = load(values[2], "head");
    for (int i = 0; i < tokens; i++) {
        char name[32];
        snprintf(name, sizeof name, "frame-%d", i);
        frames[i] = load(values[2], name);
    }
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(values[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(door, (struct sockaddr *)&where, sizeof where) || listen(door, 1024)) { perror("mock"); return 1; }
    int watch = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = door}, events[256];
    epoll_ctl(watch, EPOLL_CTL_ADD, door, &event);
    for (;;) {
        int ready = epoll_wait(watch, events, 256, paced());
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != door) { hear(fd); continue; }
            while ((fd = accept(door, NULL, NULL)) >= 0) {
                if (fd >= CONNECTIONS) { close(fd); continue; }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                connections[fd] = calloc(1, sizeof(Connection));
                if (fd > highest) highest = fd;
                event.events = EPOLLIN, event.data.fd = fd;
                epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
