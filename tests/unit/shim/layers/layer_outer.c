const char* layer_inner_text(void);
const char* layer_text(void);

const char* layer_text(void) {
    return layer_inner_text();
}
