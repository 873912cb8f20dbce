"""What the executor and the workers agree on across the process border, besides the files."""

DISK_FULL_EXIT = 74  # a child that could not even write its answer; EX_IOERR of sysexits.h
DISK_FULL = "no space left on device"
PARTS = "parts"  # files of a step's folder, whose sizes say how much there is to do, and how much is done
PARTS_DONE = "parts-done"
CONFINEMENT = "TFLBUILD_CONFINEMENT"  # a variable: whether a step's process is confined; where the kernel can, if unset
REQUIRED, TURNED_OFF = "require", "off"
DISK_ADVICE = "free space, or put the store elsewhere with the variable TFLBUILD_STORE"
