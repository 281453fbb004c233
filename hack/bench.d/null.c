/* The runtime that does nothing, so that what stands before it is all that is measured. */
int main(void) { return 0; }
