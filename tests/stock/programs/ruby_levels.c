/* What ruby-fcgi's extension asks of Ruby, and Ruby has had no more since 3.0: levels of safety, of which 0 was left. */

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
