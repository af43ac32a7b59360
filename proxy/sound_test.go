package proxy

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// wave is a WAV file of that many bytes of sound, of 32,000 a second.
func wave(size int, before string) string {
	le := func(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
	return "RIFF" + le(0) + "WAVE" + before + "fmt " + le(16) + "\x01\x00\x01\x00" + le(16000) + le(1) + "\x02\x00\x10\x00data" + le(size) + strings.Repeat("s", size)
}

// movie is an MP4 file that says how long it is, behind its content.
func movie(version byte, scale, length int) string {
	be := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	head := string([]byte{version, 0, 0, 0})
	if version == 1 {
		head += strings.Repeat("\x00", 16) + be(scale) + be(0) + be(length)
	} else {
		head += strings.Repeat("\x00", 8) + be(scale) + be(length)
	}
	head += strings.Repeat("\x00", 80)
	mvhd := be(8+len(head)) + "mvhd" + head
	return be(16) + "ftypM4A " + be(0) + be(8+1000) + "mdat" + strings.Repeat("m", 1000) + be(8+len(mvhd)) + "moov" + mvhd
}

// TestSoundLength: a file says how long it plays, or its size says how long it may.
func TestSoundLength(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       time.Duration
	}{
		{"nothing", "", 0},
		{"WAV", wave(64_000, ""), 2 * time.Second},
		{"WAV with more in it", wave(64_000, "LIST\x03\x00\x00\x00abc\x00"), 2 * time.Second},
		{"WAV that claims more than it has", wave(64_000, "")[:44+32_000], time.Second},
		{"WAV without sound", wave(0, ""), 44 * time.Second / slowest},
		{"MP3", "\xff\xfb\x90\x00" + strings.Repeat("a", 31_996), 2 * time.Second},
		{"MP3 of MPEG-2", "\xff\xf3\x40\x00" + strings.Repeat("a", 7996), 2 * time.Second},
		{"MP3 behind a tag", "ID3\x04\x00\x00\x00\x00\x01\x00" + strings.Repeat("t", 128) + "\xff\xfb\x90\x00" + strings.Repeat("a", 31_996), 2 * time.Second},
		{"MP4", movie(0, 1000, 2500), 2500 * time.Millisecond},
		{"MP4 of the newer version", movie(1, 600, 1500), 2500 * time.Millisecond},
		{"MP4 that never ends", movie(0, 1, 1<<31), longest},
		{"another", "OggS" + strings.Repeat("o", 1996), time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := soundLength(strings.NewReader(tt.file), int64(len(tt.file))); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzSoundLength: whatever a file holds, it has a length, and that is found soon.
func FuzzSoundLength(f *testing.F) {
	for _, file := range []string{wave(100, ""), movie(0, 1, 1), movie(1, 1, 1), "ID3\x04\x00\x00\x7f\x7f\x7f\x7f", "\xff\xfb\x90\x00", ""} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		got := soundLength(bytes.NewReader(file), int64(len(file)))
		if got < 0 || got > longest || got == 0 && len(file) > 0 {
			t.Errorf("%v", got)
		}
	})
}

// TestCaptions: the end of a transcript is that of its last caption.
func TestCaptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       time.Duration
	}{
		{"text", "It is 10:00.", 0},
		{"SRT", "1\n00:00:00,000 --> 00:00:01,500\na\n\n2\n00:00:01,500 --> 01:02:03,004\nb\n\n", time.Hour + 2*time.Minute + 3*time.Second + 4*time.Millisecond},
		{"WebVTT", "WEBVTT\n\n00:00:00.000 --> 00:00:07.250\nhello\n\n", 7250 * time.Millisecond},
		{"WebVTT without hours", "WEBVTT\n\n00:00.000 --> 01:07.250\r\nhello\n\n", 67250 * time.Millisecond},
		{"long", "1\n00:00:00,000 --> 00:00:09,000\n" + strings.Repeat("x", 100_000) + "\n2\n00:00:09,000 --> 00:00:10,000\nend\n", 10 * time.Second},
		{"words that look so", "and then 00:00:00,000 --> 00:00:09,000 it said", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 7, 100_000} {
				h := &heard{tally: tally{counter: byByte{}}}
				for text := tt.text; text != ""; {
					n := min(size, len(text))
					_, _ = h.Write([]byte(text[:n]))
					text = text[n:]
				}
				if got := h.end(); got != tt.want || h.tally.total() != int64(len(tt.text)) {
					t.Errorf("in pieces of %d: %v, %d tokens, want %v, %d", size, got, h.tally.total(), tt.want, len(tt.text))
				}
			}
		})
	}
}

// byByte counts each byte as a token.
type byByte struct{ Counter }

func (byByte) Text(text []byte) int64 { return int64(len(text)) }
