const char* layer_inner_text(void);

const char* layer_inner_text(void) {
    return "\"from a layer\"";
}
