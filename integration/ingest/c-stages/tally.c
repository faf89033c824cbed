#include <stdio.h>

int main(int argc, char **argv) {
    (void)argv;
    printf("tally " VERSION ", %d\n", argc - 1);
    return 0;
}
