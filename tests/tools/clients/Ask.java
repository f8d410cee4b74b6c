// Ask with the Java client that openapi-generator made: see test_clients.py.
import com.fasterxml.jackson.databind.*;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.*;
import made.*;

public class Ask {
  static final ObjectMapper MAPPER = ApiClient.createDefaultObjectMapper();

  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    for (JsonNode asked : MAPPER.readTree(System.in)) {
      Map<String, String> headers = new HashMap<>();
      String token = asked.get(0).asText(), etag = asked.get(2).asText();
      if (!token.isEmpty()) headers.put("Authorization", "Bearer " + token);
      if (!etag.isEmpty()) headers.put("If-None-Match", etag);
      System.out.println(answer(new JobsApi(client), asked.get(1).asText(), headers));
    }
  }

  static JsonNode answer(JobsApi api, String id, Map<String, String> headers) throws Exception {
    ObjectNode answer = MAPPER.createObjectNode();
    try {
      Job job = api.getBulkActionJob(id, headers);
      ObjectNode body = MAPPER.valueToTree(job);
      body.put("completed_at", String.valueOf(job.getCompletedAt()));
      return answer.put("status", 200).set("body", body);
    } catch (ApiException error) { // a 304, too
      if (error.getCode() == 0)
        return answer.put("raised", error.getCause().getClass().getSimpleName());
      answer.put("status", error.getCode());
      if (error.getCode() == 304) return answer;
      Problem problem = MAPPER.readValue(error.getResponseBody(), Problem.class);
      return answer.set("body", MAPPER.valueToTree(problem));
    }
  }
}
