package stint.runtime;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The client of the local runtime API. Plain HTTP/1.1 over one kept-alive socket: the standard
 * library's clients load hundreds of classes that a cold start would wait for.
 */
final class Api {
    private static final String BASE = "/2020-11-11/runtime/";
    private static final int LINE_BYTES_MAX = 64 * 1024;

    private final String host;
    private final int port;
    private Socket socket;
    private InputStream in;

    /** What a poll was answered with; header names are lower case. */
    static final class Delivery {
        final Map<String, String> headers;
        final byte[] body;

        Delivery(Map<String, String> headers, byte[] body) {
            this.headers = headers;
            this.body = body;
        }
    }

    Api(String address) {
        int colon = address.lastIndexOf(':');
        this.host = address.substring(0, colon);
        this.port = Integer.parseInt(address.substring(colon + 1));
    }

    Delivery next() throws IOException {
        return call("GET", "invocation/next", null);
    }

    void returned(String requestId, byte[] result) throws IOException {
        call("POST", "invocation/" + requestId + "/response", result);
    }

    void failed(String requestId, String body) throws IOException {
        call("POST", "invocation/" + requestId + "/error", Main.utf8(body));
    }

    void notLoaded(String body) throws IOException {
        call("POST", "init/error", Main.utf8(body));
    }

    /** A refusal (of a result that is too large, say) has been settled by the node: not ours to repeat. */
    private Delivery call(String method, String path, byte[] body) throws IOException {
        if (socket == null) {
            socket = new Socket(host, port);
            socket.setTcpNoDelay(true);
            in = new BufferedInputStream(socket.getInputStream(), 16 * 1024);
        }
        StringBuilder head = new StringBuilder(256);
        head.append(method).append(' ').append(BASE).append(path).append(" HTTP/1.1\r\nhost: ");
        head.append(host).append(':').append(port).append("\r\n");
        if (body != null) {
            head.append("content-length: ").append(body.length).append("\r\n");
        }
        head.append("\r\n");
        ByteArrayOutputStream message = new ByteArrayOutputStream();
        message.write(Main.utf8(head.toString()));
        if (body != null) {
            message.write(body);
        }
        message.writeTo(socket.getOutputStream());
        Delivery answer = read();
        if ("close".equalsIgnoreCase(answer.headers.get("connection"))) {
            socket.close();
            socket = null;
        }
        return answer;
    }

    private Delivery read() throws IOException {
        String status = line();
        Map<String, String> headers = new HashMap<String, String>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                String name = line.substring(0, colon).toLowerCase(Locale.ROOT);
                headers.put(name, line.substring(colon + 1).trim());
            }
        }
        String length = headers.get("content-length");
        byte[] body = new byte[length == null ? 0 : Integer.parseInt(length)];
        for (int at = 0; at < body.length;) {
            int read = in.read(body, at, body.length - at);
            if (read < 0) {
                throw new EOFException("the runtime API broke off after: " + status);
            }
            at += read;
        }
        return new Delivery(headers, body);
    }

    private String line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream(80);
        while (true) {
            int next = in.read();
            if (next < 0) {
                // Without the node there is nothing to do.
                System.exit(0);
            }
            if (next == '\n') {
                String text = new String(line.toByteArray(), "UTF-8");
                return text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
            }
            if (line.size() > LINE_BYTES_MAX) {
                throw new IOException("a header line of the runtime API is too long");
            }
            line.write(next);
        }
    }
}
