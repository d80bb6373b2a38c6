/* For the two applications, app.c and app_fcgx.c. */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* Runs `serve` in each of `count` threads until SIGUSR1, and then `retire`. `serve` returns NULL on success. */
static int serve_in_threads(int count, void *(*serve)(void *), void (*retire)(void))
{
    pthread_t threads[64];
    sigset_t signals;
    int signal, failed = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, serve, NULL);
    sigwait(&signals, &signal);
    retire();
    for (int i = 0; i < count; i++) {
        void *outcome = NULL;
        pthread_join(threads[i], &outcome);
        failed |= outcome != NULL;
    }
    return failed;
}
