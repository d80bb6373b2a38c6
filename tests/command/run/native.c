/* A program on libfcgipm that answers with what its child process sees of the manager. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fcgipm.h"

int main(void)
{
    fcgipm_request *request = fcgipm_request_new(0, 0, NULL);
    char page[1024] = "Content-Type: text/plain\r\n\r\n";

    while (request != NULL && fcgipm_request_accept(request) == 0) {
        FILE *child = popen("env | grep -c '^FCGIPM_WORKER='", "r");
        size_t length = strlen("Content-Type: text/plain\r\n\r\n");

        if (child != NULL) {
            length += fread(page + length, 1, sizeof page - length, child);
            pclose(child);
        }
        fcgipm_request_write(request, FCGIPM_STDOUT, (const uint8_t *)page, length);
        fcgipm_request_finish(request);
    }
    fcgipm_request_free(request);
    return 0;
}
