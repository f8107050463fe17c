# Two carries that 5.9.2 forgets (P-256, x86-64): a subtraction's mask stays set for the next step, if
# the value was from the prime up to 2^256 - 1. About one of three million point multiplications is
# then wrong: a valid signature is refused, or a key exchange fails. A release that mended it has
# another line there and is left alone.
/^sp_256_mont_tpl_4:/,/retq/ {
    /sbbq\t%r10, %r8$/ {
        n
        s/^\(\s*\)addq\t(%rsi), %rdx$/\1adcq\t$0x00, %r11\n&/
    }
}
/^sp_256_mont_rsb_sub_dbl_4:/,/retq/ {
    /sbbq\t%r15, %r13$/ {
        n
        s/^\(\s*\)subq\t%r10, %rax$/\1adcq\t$0x00, %rsi\n&/
    }
}
