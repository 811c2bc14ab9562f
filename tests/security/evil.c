// Started by the loader, with the file of the program that it was to load as descriptor 3: writes over it when it can.
#include <fcntl.h>
#include <unistd.h>

int main(void) {
    write(1, "evil\n", 5);
    for (int n = 0; n < 100; n++) {
        int file = open("/proc/self/fd/3", O_WRONLY);
        if (file >= 0) {
            pwrite(file, "EVIL", 4, 0);
            write(1, "wrote\n", 6);
            return 0;
        }
        usleep(10000);
    }
    return 1;
}
