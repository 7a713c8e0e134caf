/* Cuts the power of the file system below argv[1]: what is not on its disk by now never will be.
 * The same call on ext4 and xfs (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN), without flushing the log. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv) {
    uint32_t without_flushing = 2;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
    if (fd < 0 || ioctl(fd, _IOR('X', 125, uint32_t), &without_flushing)) {
        perror("cut");
        return 1;
    }
    return 0;
}
