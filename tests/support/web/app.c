/* The routes of tests/support/web_guests.py, for every way of serving C. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app.h"

static char piece[65536];

static void say(const char *text) { write_body(text, strlen(text)); }

static uint32_t turned(uint32_t word, int by) { return word >> by | word << (32 - by); }

/* SHA-256 as in FIPS 180-4: the state after one more block of 64 bytes. */
static void hash_block(uint32_t state[8], const uint8_t *block) {
  static const uint32_t constants[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t words[64], work[8];
  for (int i = 0; i < 16; i++, block += 4)
    words[i] = (uint32_t)block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3];
  for (int i = 16; i < 64; i++) {
    uint32_t early = words[i - 15], late = words[i - 2];
    words[i] = words[i - 16] + words[i - 7] + (turned(early, 7) ^ turned(early, 18) ^ early >> 3) +
               (turned(late, 17) ^ turned(late, 19) ^ late >> 10);
  }
  memcpy(work, state, sizeof work);
  for (int i = 0; i < 64; i++) {
    uint32_t a = work[0], b = work[1], c = work[2], e = work[4], f = work[5], g = work[6];
    uint32_t one = work[7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) +
                   constants[i] + words[i];
    uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    memmove(work + 1, work, 7 * sizeof *work);
    work[0] = one + two;
    work[4] += one;
  }
  for (int i = 0; i < 8; i++) state[i] += work[i];
}

static void sum(void) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  static uint8_t last[128];
  uint64_t size = 0;
  size_t got, kept = 0;
  while ((got = read_body(piece, sizeof piece)) > 0) {
    size += got;
    for (size_t at = 0; at < got; at++) {
      last[kept++] = piece[at];
      if (kept == 64) {
        hash_block(state, last);
        kept = 0;
      }
    }
  }
  size_t end = kept < 56 ? 64 : 128;
  memset(last + kept, 0, end - kept);
  last[kept] = 0x80;
  for (int i = 0; i < 8; i++) last[end - 1 - i] = size * 8 >> 8 * i;
  for (size_t at = 0; at < end; at += 64) hash_block(state, last + at);
  char line[100];
  int length = sprintf(line, "%llu ", (unsigned long long)size);
  for (int i = 0; i < 8; i++) length += sprintf(line + length, "%08x", state[i]);
  begin(200);
  say(line);
  say("\n");
}

static void echo(void) {
  size_t got;
  begin(200);
  while ((got = read_body(piece, sizeof piece)) > 0) {
    write_body(piece, got);
    flush();
  }
}

static void say_header(const char *name, const char *value) {
  say(name);
  say(": ");
  say(value);
  say("\n");
}

static void stream(void) {
  struct timespec pause = {.tv_nsec = 400000000};
  begin(200);
  say("first\n");
  flush();
  nanosleep(&pause, NULL);
  say("second\n");
  flush();
  nanosleep(&pause, NULL);
  say("last\n");
}

void answer(const char *method, const char *path) {
  int gets = !strcmp(method, "GET"), posts = !strcmp(method, "POST");
  if ((gets || !strcmp(method, "HEAD")) && !strcmp(path, "/")) {
    begin(200);
    say("hello\n");
  } else if (posts && !strcmp(path, "/echo")) {
    echo();
  } else if (posts && !strcmp(path, "/sum")) {
    sum();
  } else if (gets && !strcmp(path, "/headers")) {
    begin(200);
    each_header(say_header);
  } else if (gets && !strcmp(path, "/stream")) {
    stream();
  } else if (gets && !strcmp(path, "/fail")) {
    fprintf(stderr, "told to fail\n");
    __builtin_trap();
  } else if (gets && !strcmp(path, "/slow")) {
    for (volatile int i = 0;; i++) {}
  } else {
    begin(404);
    say("nothing is there\n");
  }
}
