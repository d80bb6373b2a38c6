/* Functions that the extension of ruby-fcgi calls, and that Ruby removed in 3.0. Only the safe level 0 was left. */

int rb_safe_level(void);
void rb_secure(int level);

int rb_safe_level(void)
{
    return 0;
}

void rb_secure(int level)
{
    (void)level;
}
