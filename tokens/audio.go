package tokens

import (
	"encoding/binary"
	"strings"
)

const (
	// audioRate is the tokens of a second of audio in a prompt, and audioPart
	// what the part around it costs: two recorded requests have both.
	audioRate = 10
	audioPart = 5

	// slowest is the bytes of a second at the lowest bit rate that MP3 has: the
	// bound for audio whose head cannot be read.
	slowest = 1000

	audioHead = 64 << 10
)

// audioTokens returns what a part of base64 audio costs. It is exact for WAV and
// for MP3 of a constant bit rate; anything else is charged as if at the lowest
// bit rate.
func audioTokens(text []byte) (n int, exact bool) {
	size := decodedLen(text)
	head := decodeHead(text, audioHead)
	rate, data := wavRate(head)
	if rate == 0 {
		rate, data = mp3Rate(head)
	}
	if rate == 0 {
		return audioPart + size*audioRate/slowest, false
	}
	return audioPart + max(0, size-data)*audioRate/rate, true
}

// wavRate returns the bytes a second of a WAV file and where its samples begin.
func wavRate(b []byte) (rate, data int) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return 0, 0
	}
	for i := 12; i+8 <= len(b); {
		size := int(binary.LittleEndian.Uint32(b[i+4:]))
		switch id := string(b[i : i+4]); {
		case id == "fmt " && i+20 <= len(b):
			rate = int(binary.LittleEndian.Uint32(b[i+16:]))
		case id == "data":
			return rate, i + 8
		}
		i += 8 + size + size&1
	}
	return rate, 0
}

// mp3Rate returns the bytes a second that the first frame of an MP3 file has and
// where it begins.
func mp3Rate(b []byte) (rate, data int) {
	if len(b) >= 10 && strings.HasPrefix(string(b[:3]), "ID3") {
		data = 10 + (int(b[6]&0x7F)<<21 | int(b[7]&0x7F)<<14 | int(b[8]&0x7F)<<7 | int(b[9]&0x7F))
	}
	if data+4 > len(b) || b[data] != 0xFF || b[data+1]&0xE0 != 0xE0 {
		return 0, 0
	}
	version, layer := b[data+1]>>3&3, b[data+1]>>1&3
	if layer != 1 { // layer III
		return 0, 0
	}
	// In thousands of bits a second, of MPEG 1, and of MPEG 2 and 2.5.
	kbit := [...]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}
	if version != 3 {
		kbit = [...]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}
	}
	return kbit[b[data+2]>>4] * 125, data
}
