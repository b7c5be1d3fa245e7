"""Features of a piece of sound: loudness, pitch, where its energy lies, and MFCCs. Runs in the image,
with the numpy of the image, as an HTTP server on the port it is told."""

import base64
import http.server
import io
import json
import os
import socketserver
import wave

import numpy as np

FRAME, HOP, BANDS, COEFFICIENTS = 1024, 512, 26, 13


def samples(sound: bytes) -> tuple[np.ndarray, int]:
    """One channel between -1 and 1, and the rate."""
    with wave.open(io.BytesIO(sound)) as read:
        if read.getsampwidth() != 2:
            raise ValueError("the sound must have 16 bits per sample")
        data = np.frombuffer(read.readframes(read.getnframes()), dtype="<i2")
        return data.reshape(-1, read.getnchannels()).mean(axis=1) / 32768.0, read.getframerate()


def mel_filters(rate: int) -> np.ndarray:
    """Triangles that widen as hearing does."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(FRAME, 1 / rate)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


def pitch(sound: np.ndarray, rate: int) -> float:
    """From the lag at which the sound is like itself, between 50 and 1,000 Hz; 0 for noise."""
    part = sound[: min(len(sound), 4096)] - sound[:4096].mean()
    spectrum = np.fft.rfft(part, 2 * len(part))
    likeness = np.fft.irfft(spectrum * np.conj(spectrum))[: len(part)]
    if likeness[0] <= 0:
        return 0.0
    likeness = likeness / likeness[0] / (1 - np.arange(len(part)) / len(part) + 1e-9)
    low, high = rate // 1000, min(rate // 50, len(part) // 2)
    best = likeness[low:high].max()
    if best < 0.6:
        return 0.0
    # Twice the lag is as like: the first peak that is nearly the best one counts.
    inner = likeness[low + 1 : high - 1]
    peaks = (inner >= likeness[low : high - 2]) & (inner >= likeness[low + 2 : high]) & (inner >= 0.9 * best)
    lag = low + 1 + int(np.argmax(peaks))
    before, here, after = likeness[lag - 1 : lag + 2]
    bend = before - 2 * here + after
    return rate / (lag + (0.5 * (before - after) / bend if bend else 0.0))


def features(sound: bytes) -> dict:
    data, rate = samples(sound)
    if len(data) < FRAME:
        data = np.pad(data, (0, FRAME - len(data)))
    count = 1 + (len(data) - FRAME) // HOP
    frames = np.stack([data[i * HOP : i * HOP + FRAME] for i in range(count)]) * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2
    bins = np.fft.rfftfreq(FRAME, 1 / rate)
    total = power.sum(axis=1) + 1e-12
    energies = np.log(power @ mel_filters(rate).T + 1e-10)
    angles = np.pi / BANDS * (np.arange(BANDS) + 0.5)
    cosines = np.cos(np.outer(np.arange(COEFFICIENTS), angles))
    cumulated = np.cumsum(power, axis=1) / total[:, None]
    return {
        "seconds": round(len(data) / rate, 3),
        "loudness_db": round(float(20 * np.log10(np.sqrt(np.mean(data**2)) + 1e-9)), 2),
        "pitch_hz": round(float(pitch(data, rate)), 1),
        "centroid_hz": round(float(np.mean(power @ bins / total)), 1),
        "rolloff_hz": round(float(np.mean(bins[np.argmax(cumulated >= 0.85, axis=1)])), 1),
        "crossings": round(float(np.mean(np.abs(np.diff(np.signbit(data))))), 4),
        "mfcc": [round(float(value), 3) for value in (energies @ cosines.T).mean(axis=0)],
        "numpy": np.__version__,
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        failed = {}
        try:
            event = json.loads(body)
            answer = {"name": event["name"], **features(base64.b64decode(event["sound"]))}
            print("took", event["name"], answer["seconds"], "s of sound", flush=True)
        except (ValueError, KeyError, TypeError, wave.Error, EOFError) as error:
            answer = {"errorMessage": str(error), "errorType": type(error).__name__}
            # How a server of the user's own says that the invocation failed.
            failed = {"x-fc-status": "404"}
        text = json.dumps(answer).encode()
        self.send_response(200)
        for name, value in {"content-length": str(len(text)), **failed}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    Server(("0.0.0.0", int(os.environ["FC_CUSTOM_LISTEN_PORT"])), Handler).serve_forever()
