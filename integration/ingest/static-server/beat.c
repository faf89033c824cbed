#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    do {
        puts("beat " REVISION);
        fflush(stdout);
        sleep(argc > 1 && strcmp(argv[1], "--once") == 0 ? 0 : 1);
    } while (argc > 1 && strcmp(argv[1], "--once") != 0);
    return 0;
}
