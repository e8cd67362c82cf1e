/*
 * Runs a network on a Cortex-M4 without an operating system: it computes the logits of some images, and prints their
 * bits and the time through the debugger (semihosting). `inputs.h` defines `input`, `logit`, NUM_INPUTS and `inputs`.
 */
#include "lenet5.h"
#include "inputs.h"

extern uint32_t data_start[], data_end[], data_source[], bss_start[], bss_end[], stack_top[];

int main(void);
void reset(void);

static int semihosting(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print_word(uint32_t word, char after)
{
    char text[10];
    for (int i = 0; i < 8; i++) {
        text[i] = "0123456789abcdef"[(word >> (28 - 4 * i)) & 15];
    }
    text[8] = after;
    text[9] = 0;
    semihosting(4, text); /* SYS_WRITE0 */
}

void reset(void)
{
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* CPACR: enable the floating point unit */
    __asm__ volatile("dsb\n isb");
    for (uint32_t *to = data_start, *from = data_source; to < data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end;) {
        *to++ = 0;
    }
    main();
    semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, after the end of the application */
    for (;;) {
    }
}

static void fault(void)
{
    semihosting(4, "fault\n");
    semihosting(0x18, (const void *)0x20023); /* SYS_EXIT, after a run time error */
    for (;;) {
    }
}

int main(void)
{
    volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010; /* control, reload, value */
    static logit logits[LENET5_NUM_CLASSES];
    systick[1] = 0xffffff;
    for (int n = 0; n < NUM_INPUTS; n++) {
        systick[2] = 0;
        systick[0] = 5; /* count down with the clock of the processor */
        const uint32_t before = systick[2];
        lenet5_logits(inputs[n], logits);
        const uint32_t after = systick[2];
        for (int i = 0; i < LENET5_NUM_CLASSES; i++) {
            union {
                logit value;
                uint32_t bits;
            } each = { logits[i] };
            print_word(each.bits, ' ');
        }
        print_word((before - after) & 0xffffff, '\n');
    }
    return 0;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
};
