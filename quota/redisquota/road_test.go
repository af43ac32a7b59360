package redisquota_test

import (
	"testing"

	"weir/quota/quotatest"
)

// slowed starts a road to the server that can be made slow, and returns its URL too.
func (s *server) slowed(t *testing.T) (road *quotatest.Road, url string) {
	t.Helper()
	road = quotatest.NewRoad(t, s.socket())
	t.Cleanup(func() {
		s.kill() // which ends all connections
		road.Close()
	})
	return road, "redis://" + road.Address
}
