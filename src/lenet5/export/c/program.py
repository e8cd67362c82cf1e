"""The program that classifies files in the formats PGM and PPM, as C."""

from string import Template

PROGRAM = Template(r"""
#ifdef ${MACRO}_MAIN

#include <stdio.h>

/* Return the character after a comment, which runs from # to the end of its line. */
static int skip_comment(FILE *file, int c)
{
    if (c == '#') {
        while (c != '\n' && c != '\r' && c != EOF) {
            c = getc(file);
        }
    }
    return c;
}

/* Return the next number of the text, or -1; read the one white space after it too. */
static long next_number(FILE *file)
{
    long number = -1;
    int c = skip_comment(file, getc(file));
    while (c == ' ' || (c >= '\t' && c <= '\r')) {
        c = skip_comment(file, getc(file));
    }
    while (c >= '0' && c <= '9' && number < 100000000L) {
        number = 10 * (number < 0 ? 0 : number) + (c - '0');
        c = getc(file);
    }
    return skip_comment(file, c) <= ' ' ? number : -1;
}

/* Read an image with 8 bits per sample; return NULL, or what is wrong with the file. */
static const char *read_image(FILE *file, uint8_t *pixels)
{
    const int magic = getc(file) == 'P' ? getc(file) : 0;
    if (magic != '$text' && magic != '$raw') {
        return "is no $format file; expected the formats P$text and P$raw";
    }
    const long width = next_number(file), height = next_number(file), white = next_number(file);
    if (width != $side || height != $side) {
        return "has the wrong size; expected $side x $side pixels";
    }
    if (white < 1 || white > 255) {
        return "has samples of more than 8 bits; expected a maximum of 1 to 255";
    }
    for (int i = 0; i < $side * $side; i++) {
        for (int channel = 0; channel < $channels; channel++) {
            const long sample = magic == '$text' ? next_number(file) : getc(file);
            if (sample < 0) {
                return "ends too early, or is damaged";
            }
            if (sample > white) {
                return "has a sample above its maximum";
            }
            pixels[channel * $side * $side + i] = (uint8_t)((sample * 255 + white / 2) / white);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static uint8_t pixels[$channels * $side * $side];
    int status = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s IMAGE.$suffix...\n", argc > 0 ? argv[0] : "$prefix");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        const char *fault = file == NULL ? "cannot be read" : read_image(file, pixels);
        if (file != NULL) {
            fclose(file);
        }
        if (fault != NULL) {
            fprintf(stderr, "%s %s\n", argv[i], fault);
            status = 2;
            continue;
        }
        printf("%s: %s\n", argv[i], ${prefix}_classes[${prefix}_classify(pixels)]);
    }
    return fflush(stdout) == 0 ? status : 2;
}

#endif
""")


def program(prefix: str, channels: int, side: int) -> str:
    """Return the program, which reads PGM files, or PPM files for three channels."""
    grey = {"format": "PGM", "suffix": "pgm", "text": "2", "raw": "5"}
    colour = {"format": "PPM", "suffix": "ppm", "text": "3", "raw": "6"}
    names = grey if channels == 1 else colour
    return PROGRAM.substitute(names, prefix=prefix, MACRO=prefix.upper(), channels=channels, side=side)
