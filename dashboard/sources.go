package dashboard

import (
	"time"

	"weir/usage"
)

// Live is what is under way.
type Live struct {
	Requests int `json:"in_flight"`
	Streams  int `json:"streams_open"`
}

// Team is a team, or a key of one, and where its limits stand.
type Team struct {
	Name   string  `json:"team"`
	Owner  string  `json:"owner,omitempty"`
	Limits []Limit `json:"limits"`
}

// Limit is where one limit of a team, or of one of its keys, stands.
type Limit struct {
	Name   string  `json:"limit"`         // rpm, tpm, concurrency or budget
	Key    string  `json:"key,omitempty"` // whose own it is; "" the team's
	Shadow bool    `json:"shadow,omitempty"`
	Most   float64 `json:"most"`                    // a minute's requests or tokens, the slots, or the window's dollars
	Burst  float64 `json:"burst"`                   // of it at once
	Left   float64 `json:"left"`                    // of Burst, now
	Reset  float64 `json:"reset_seconds,omitempty"` // until all of it is left, if nothing more is taken
	Period string  `json:"period,omitempty"`        // of a budget: month or day
}

// Deployment is what a deployment is doing.
type Deployment struct {
	Name     string
	Models   []string // that it serves
	Region   string
	State    string        // closed, open, half_open or resting
	Rest     time.Duration // for which it is left alone
	Probe    time.Duration // until one that is open is tried again
	Why      string        // it rests
	InFlight int
	Served   string   // the model that its answers name; "" none has come
	Learned  []string // what its refusals have taught of it
	Azure    Left     // as its headers last said
	Twin     Left     // as the gateway reckons
}

// Left is what is left of a deployment's quota; below 0 nobody knows.
type Left struct {
	Tokens   int64 `json:"tokens"`
	Requests int64 `json:"requests"`
}

// Settings are the configuration that is served by.
type Settings struct {
	Text     string    `json:"yaml"` // without secrets
	Source   string    `json:"source"`
	Hash     string    `json:"hash,omitempty"` // of the file that is served by
	At       time.Time `json:"at,omitzero"`    // when it was last read
	OK       bool      `json:"ok"`             // the last time it was read it was taken
	Error    string    `json:"error,omitempty"`
	Problems []string  `json:"problems,omitempty"`
	Restart  []string  `json:"restart_needed,omitempty"`
}

// Demo is what the playground offers where a simulated Azure answers.
type Demo struct {
	Key    string  `json:"key"`
	Faults []Fault `json:"faults"`
}

// Fault is one that the simulated Azure has, where a message begins with ! and its
// name.
type Fault struct {
	Name string `json:"name"`
	Does string `json:"does"`
}

// Problem says why a request cannot be answered.
type Problem struct {
	Status  int
	Param   string
	Message string
}

// refused reports whether a request was, and not served and not failed.
func refused(o usage.Outcome) bool {
	return o == usage.RefusedPolicy || o == usage.RefusedLimit || o == usage.ClientError
}

// failed reports whether a request did, for no fault of its caller's.
func failed(o usage.Outcome) bool { return o == usage.UpstreamError || o == usage.GatewayError }
