#include "base/shortage.h"

static _Thread_local unsigned count;

void shortage_note(void)
{
    count++;
}

unsigned shortage_count(void)
{
    return count;
}
