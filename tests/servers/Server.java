import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

/** For java: says which worker answers whom. */
class Server {
    public static void main(String[] args) throws Exception {
        var env = System.getenv();
        var server = HttpServer.create(
                new InetSocketAddress("127.0.0.1", Integer.parseInt(env.get("PORT"))), 0);
        server.createContext("/", exchange -> {
            var peer = exchange.getRemoteAddress().getAddress().getHostAddress();
            var body = (env.get("MEMSTORE_WORKER") + " " + peer).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
