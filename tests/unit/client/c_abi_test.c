// client.h is C: this file is compiled as C11 and uses every function of the connection-less part.
#include <stdio.h>
#include <string.h>

#include <hako/client.h>

static int failures = 0;

static void expect(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "failed: %s\n", what);
        failures += 1;
    }
}

int main(void) {
    hako_client_error error;
    memset(&error, 0, sizeof(error));
    expect(strcmp(hako_client_version(), "0.1.0") == 0, "version");
    expect(hako_client_connect("/nonexistent/hako.sock", &error) == NULL, "connect fails");
    expect(error.code == HAKO_CLIENT_ESYSTEM, "code of a missing socket");
    expect(strstr(error.text, "/nonexistent/hako.sock") != NULL, "text names the path");
    expect(strcmp(hako_client_strerror(HAKO_CLIENT_ETIMEOUT), "time ran out") == 0, "strerror");
    hako_client_request request = {.function = hako_client_text("f"), .tail = 1};
    expect(request.function.bytes == 1 && request.payload.data == NULL, "views");
    hako_client_close(NULL);
    return failures == 0 ? 0 : 1;
}
