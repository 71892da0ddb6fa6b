/*
 * embed OUT.c SYMBOL [FILE...] -- writes a C file with the table `const EmbeddedFile SYMBOL[]`
 * holding the files under their base names, in the order given, ended by a NULL name. Runs at build
 * time only.
 */
#include <stdio.h>
#include <string.h>

static int embed_bytes(FILE *out, int index, const char *path)
{
    FILE *in = fopen(path, "rb");
    int column = 0, c;

    if (in == NULL) {
        perror(path);
        return 1;
    }
    fprintf(out, "static const unsigned char file_%d[] = {\n", index);
    while ((c = getc(in)) != EOF)
        fprintf(out, "%d,%s", c, ++column % 24 == 0 ? "\n" : "");
    fprintf(out, "0 };\n\n");
    return fclose(in);
}

int main(int argc, char **argv)
{
    FILE *out;

    if (argc < 3) {
        fprintf(stderr, "usage: embed OUT.c SYMBOL [FILE...]\n");
        return 2;
    }
    out = fopen(argv[1], "w");
    if (out == NULL) {
        perror(argv[1]);
        return 1;
    }
    fprintf(out, "#include \"core/base/embedded.h\"\n\nextern const EmbeddedFile %s[];\n\n",
            argv[2]);
    for (int i = 3; i < argc; i++)
        if (embed_bytes(out, i, argv[i]) != 0)
            return 1;
    fprintf(out, "const EmbeddedFile %s[] = {\n", argv[2]);
    for (int i = 3; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');

        fprintf(out, "    { \"%s\", file_%d, sizeof file_%d - 1 },\n", slash ? slash + 1 : argv[i],
                i, i);
    }
    fprintf(out, "    { NULL, NULL, 0 },\n};\n");
    return fclose(out) == 0 ? 0 : 1;
}
