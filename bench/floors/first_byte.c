/* The cold floor: the smallest program that answers at all. Linked statically. */
#include <unistd.h>

int main(void) {
    return write(STDOUT_FILENO, "x", 1) == 1 ? 0 : 1;
}
