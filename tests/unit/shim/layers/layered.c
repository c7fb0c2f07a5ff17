/* A function whose library lies in a layer, with a library of its own below. */
#include "hako/function.h"

const char* layer_text(void);

int hako_handler(hako_invocation* inv) {
    const char* const text = layer_text();
    return hako_respond(inv, text, strlen(text));
}
