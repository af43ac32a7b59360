package main

import "time"

// tick is how finely a meter looks at time.
const tick = 100 * time.Millisecond

// ticks is how many of them a minute has.
const ticks = int(time.Minute / tick)

// meter measures what a team really uses, when it uses it: the prompt as the request
// is sent, the answer evenly while it is written.
type meter struct {
	perMinute         int64
	used              []int64 // in each tick
	refused           []bool  // in each minute
	admitted, refusal int
}

// result is what a strategy did to a team, or to several.
type result struct {
	admitted, refused int
	used              int64 // tokens

	// The excess is what was used beyond the limit, which allows any stretch of time
	// the burst and what flows in meanwhile.
	worst  float64 // at the worst moment, as a share of a minute's allowance
	excess int64   // in all

	scarce int64 // tokens that flowed in during minutes in which something was refused
	idle   int64 // those of them that nothing used
}

func newMeter(perMinute int64, length time.Duration) meter {
	minutes := int(length/time.Minute) + 1
	return meter{perMinute: perMinute, used: make([]int64, minutes*ticks), refused: make([]bool, minutes)}
}

// refuse counts a request that was refused.
func (m *meter) refuse(at time.Duration) {
	m.refusal++
	m.refused[at/time.Minute] = true
}

// admit counts a request that was admitted. What the trace is too short for is not
// counted.
func (m *meter) admit(r request) {
	m.admitted++
	first, last := int(r.at/tick), int((r.at+r.lasts())/tick)
	m.used[first] += r.prompt
	n, done := int64(last-first+1), int64(0)
	for i := first; i <= last && i < len(m.used); i++ {
		share := r.used()*int64(i-first+1)/n - done
		m.used[i] += share
		done += share
	}
}

// result returns what was measured.
func (m *meter) result() result {
	out := result{admitted: m.admitted, refused: m.refusal}
	m.beyond(&out)
	for minute, refused := range m.refused {
		var used int64
		for _, n := range m.used[minute*ticks : (minute+1)*ticks] {
			used += n
		}
		out.used += used
		if refused {
			out.scarce += m.perMinute
			out.idle += max(0, m.perMinute-used)
		}
	}
	return out
}

// beyond measures the excess: what a bucket is below nothing from which each token
// is taken as it is used.
func (m *meter) beyond(out *result) {
	// The level is in parts of a token, so that what flows in during a tick is whole.
	full := m.perMinute * int64(ticks)
	level := full
	for _, used := range m.used {
		level = min(full, level+m.perMinute) - used*int64(ticks)
		if level < 0 {
			out.worst = max(out.worst, -float64(level)/float64(full))
			out.excess += min(used, -level/int64(ticks))
		}
	}
}

// together adds up the results of several teams.
func together(all []result) result {
	var out result
	for _, r := range all {
		out.admitted += r.admitted
		out.refused += r.refused
		out.used += r.used
		out.worst = max(out.worst, r.worst)
		out.excess += r.excess
		out.scarce += r.scarce
		out.idle += r.idle
	}
	return out
}
