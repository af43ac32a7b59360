package redisquota

// Virtual makes the scripts read the time, in microseconds, from a key instead
// of Redis's clock: they are the same otherwise.
func (l *Limiter) Virtual(key string) {
	l.scripts("{ 0, redis.call('GET', '" + key + "') }")
}
