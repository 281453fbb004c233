/* Four threads and a lock. */
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int count;

static void *add(void *unused) {
    for (int n = 0; n < 10000; n++) {
        pthread_mutex_lock(&lock);
        count++;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

int main(void) {
    pthread_t threads[4];
    for (int n = 0; n < 4; n++)
        if (pthread_create(&threads[n], NULL, add, NULL)) return 1;
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);
    printf("%d\n", count);
    return 0;
}
